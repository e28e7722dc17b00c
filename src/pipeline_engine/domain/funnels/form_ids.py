"""The forms that a page embeds."""

from __future__ import annotations

import re

from pipeline_engine.domain.funnels.reading import readings

FORM = re.compile(r"/userform/([0-9a-f-]{24,36})(?![\w-])", re.IGNORECASE)


def form_ids(text: str) -> frozenset[str]:
    """The id of every `/userform/<id>`, in whatever encoding, as it is written there."""
    return frozenset(id for reading in readings(text) for id in FORM.findall(reading.text))
