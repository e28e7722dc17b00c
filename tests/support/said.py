"""What a test asks of the fixture `said`."""

from __future__ import annotations

from collections.abc import Callable

Said = Callable[[], str]
"""Returns everything that was logged so far, from DEBUG on, as JSON lines."""
