"""Which objects of the bucket an import may read."""

from __future__ import annotations

import re

from bson import ObjectId

from pipeline_engine.domain.imports.refusal import ImportRefused, shown

LONGEST = 1024
"""Bytes of UTF-8; S3 allows no more."""
# Control characters, line separators and directions that would show a key as something else.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
DOTS = re.compile(r"\.\.|%2e%2e|%2e\.|\.%2e", re.IGNORECASE)


def import_key(key: str, account_id: ObjectId, prefix: str | None) -> str:
    """The key as it stands, when it may be read. `prefix` is the operator's template, e.g. `imports/{account_id}/`.

    Raises: ImportRefused with the code `bad_key`.
    """
    if fault := _fault(key):
        raise ImportRefused(f"the key of the file {fault}: {shown(key)}", "bad_key")
    if not key.startswith(under := (prefix or "").replace("{account_id}", str(account_id))):
        raise ImportRefused(f"the key of the file must begin with {under}: {shown(key)}", "bad_key")
    return key


def _fault(key: str) -> str | None:
    faults = {
        "is empty": not key,
        "holds a control character": UNPRINTABLE.search(key),
        "holds '..'": DOTS.search(key),
        "begins with '/'": key.startswith("/"),
        "holds an empty part": "//" in key,
        "is that of a folder": key.endswith("/"),
        f"is longer than {LONGEST} bytes": len(key.encode(errors="replace")) > LONGEST,
    }
    return next((fault for fault, found in faults.items() if found), None)
