"""The argument of most words: which import."""

from __future__ import annotations

from typing import Annotated

import typer

ImportId = Annotated[str, typer.Argument(metavar="ID", help="The `_id` of its queue document.")]
