"""The argument of most words: which clone."""

from __future__ import annotations

from typing import Annotated

import typer

FunnelId = Annotated[str, typer.Argument(metavar="ID", help="The `_id` of the new funnel.")]
