"""The key of chat widgets in components, whose HTML stands in JSON, perhaps in JSON within JSON. Pure."""

from __future__ import annotations

import re
from html import escape

from pipeline_engine.domain.funnels.chat import Span, chat_keys
from pipeline_engine.domain.funnels.decoded_text import DecodedText, decoded_texts
from pipeline_engine.domain.funnels.rewrite import Edit

WIDGET = re.compile("custom-chat-widget", re.IGNORECASE)
MAX_TAG = 4096
"""Characters before and after the name, in which the rest of the tag must stand."""
# Each would end or change a JSON string, however deep the widget stands.
UNFIT_FOR_JSON = re.compile(r"[\\\x00-\x1f\ud800-\udfff]")


def inner_key_edits(components: str, key: str) -> tuple[list[Edit], int]:
    """The edits that set the key of every chat widget, and the number of widgets."""
    named = [match.span() for match in WIDGET.finditer(components)]
    if not named:
        return [], 0
    begin = max(0, named[0][0] - MAX_TAG)
    edits: dict[int, Edit] = {}
    widgets = 0
    for decoded in decoded_texts(DecodedText(components[begin : named[-1][1] + MAX_TAG])):
        for keys in chat_keys(decoded.text):
            found = [_edit(decoded, begin, span, key) for span in keys]
            widgets += found[0][0] not in edits
            for edit in found:
                edits.setdefault(edit[0], edit)
    return sorted(edits.values()), widgets


def _edit(decoded: DecodedText, begin: int, span: Span, key: str) -> Edit:
    """The quotation marks stay in the spelling of the text; where there are none, a mark is used that JSON allows."""
    start, end = span
    new = UNFIT_FOR_JSON.sub(lambda match: f"&#{ord(match[0])};", escape(key))
    if decoded.text[start] in "\"'":
        start, end = start + 1, end - 1
    else:
        new = f"'{new}'"
    return begin + decoded.source(start), begin + decoded.source(end), new
