"""The options of an import (`additional_data`): what is not known, not built or malformed refuses it, by name. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pipeline_engine.domain.imports.refusal import ImportRefused, quoted
from pipeline_engine.ids import object_id

KNOWN = (
    "pipeline_id",
    "tags",
    "dry_run",
    "duplicates",
    "automations",
    "retry_of",
    "delimiter",
    "encoding",
    "has_header",
    "delete_csv",
)
POLICIES = ("create", "skip", "update")
NOT_BUILT = ("update",)
"""Policies of `duplicates` that the contract names and the engine does not have yet."""
UNIQUE_FIELDS = ("contact_email", "contact_phone", "contact_name", "name")
"""The fields of a deal by which duplicates may be found."""
MIN_LIKENESS = 0.6
MAX_NAME_CHARS = 40


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that a mistyped one most likely stands for, or None when none is near."""
    folded = {one.casefold(): one for one in reversed(known)}
    found = get_close_matches(name[:MAX_NAME_CHARS].casefold(), folded, n=1, cutoff=MIN_LIKENESS)
    return folded[found[0]] if found else None


def check_options(options: Mapping[str, Any]) -> None:
    """Return if every option is known and has a value that it may have; null counts as not given.

    `pipeline_id`, `tags` and how to read the file (`delimiter`, `encoding`, `has_header`) are checked where they are
    read. Raises: ImportRefused `options` naming the option, and the known one that is nearest to an unknown name.
    """
    if unknown := [name for name in options if name not in KNOWN]:
        raise ImportRefused("; ".join(map(_unknown, unknown[:5])), "options")
    for name, check in CHECKS.items():
        if options.get(name) is not None and (fault := check(options[name])):
            raise ImportRefused(f"additional_data.{name} {fault}", "options")


def check_unique_by(options: Mapping[str, Any], mappings: Mapping[str, Any]) -> None:
    """Return if every field by which duplicates are left out is one that the file fills. Raises: ImportRefused."""
    duplicates = options.get("duplicates") or {}
    wanted = duplicates.get("by", []) if duplicates.get("policy") == "skip" else []
    if unmapped := [name for name in wanted if name not in mappings.values()]:
        raise ImportRefused(
            f"additional_data.duplicates has by {quoted(unmapped[0])}, but no column is mapped to it", "options"
        )


def is_dry_run(queue: Mapping[str, Any]) -> bool:
    """Return whether the queue document asks for a dry run, however much else is wrong with it."""
    options = queue.get("additional_data")
    return isinstance(options, Mapping) and options.get("dry_run") is True


def _unknown(name: str) -> str:
    near = nearest(name, KNOWN)
    hint = f"did you mean {near!r}?" if near else f"known are {', '.join(KNOWN)}"
    return f"additional_data has the option {quoted(name)}, which is not known: {hint}"


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else f"is {quoted(value)}; it must be true or false"


def _automations(value: object) -> str | None:
    return None if value in ("run", "skip") else f"is {quoted(value)}; it must be 'run' or 'skip'"


def _retry_of(value: object) -> str | None:
    return None if object_id(value) else f"is {quoted(value)}; it must be the id of an import"


def _duplicates(value: object) -> str | None:
    policy = value.get("policy") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or policy not in POLICIES:
        return f"is {quoted(value)}; it must be {{by: [field], policy: create, skip or update}}"
    if extra := [name for name in value if name not in ("by", "policy")]:
        return f"has {quoted(extra[0])}, which is not known; possible are 'by' and 'policy'"
    if policy in NOT_BUILT:
        return f"asks for the policy {policy!r}, which is not built yet; possible are 'create' and 'skip'"
    return None if policy == "create" else _by(value.get("by"))


def _by(names: object) -> str | None:
    possible = ", ".join(UNIQUE_FIELDS)
    if not isinstance(names, list) or not names:
        return f"has by {quoted(names)}; it must be a list of fields, of {possible}"
    if strange := [name for name in names if name not in UNIQUE_FIELDS]:
        return f"has by {quoted(strange[0])}; possible are {possible}"
    return None


CHECKS: Mapping[str, Callable[[object], str | None]] = {
    "dry_run": _flag,
    "delete_csv": _flag,
    "automations": _automations,
    "retry_of": _retry_of,
    "duplicates": _duplicates,
}
