"""Public sets of bounces and replies are read at least as well as when the score in docs/mail.md was written."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline_engine.domain.mail.html_text import html_text
from pipeline_engine.domain.mail.parsed_mail import parse_mail
from pipeline_engine.domain.mail.reply_text import reply_text
from tests.support.mails import SAMPLES, samples

NO_BOUNCES = {"groupwise_03.txt", "simple_42.txt", "simple_43.txt", "qmail_08.txt", "dumbass_01.txt"}
"""Of these the package's own tests say that no address is found."""
BOUNCES = 112
REPLIES = {"text": 76, "html": 9, "eml": 11}
"""How many of each set are read as expected."""


def bounced_addresses(file: str) -> set[str]:
    return {one.address for one in parse_mail((SAMPLES / "bounces" / file).read_bytes()).bounces}


@pytest.mark.covers("R-12")
def test_the_bounces_of_flufl_bounce_are_found() -> None:
    expected: dict[str, dict[str, list[str]]] = samples("bounces.json")
    right = {name for name, one in expected.items() if bounced_addresses(name) == {*one["hard"], *one["soft"]}}

    assert len(right) >= BOUNCES, sorted(expected.keys() - right)


def test_a_bounce_that_the_set_calls_temporary_is_soft() -> None:
    expected: dict[str, dict[str, list[str]]] = samples("bounces.json")
    soft = [name for name, one in expected.items() if one["soft"] and not one["hard"]]
    found = {name: parse_mail((SAMPLES / "bounces" / name).read_bytes()).bounces for name in soft}

    assert {name for name, bounces in found.items() if any(one.severity == "hard" for one in bounces)} == set()


def squeezed(text: str) -> str:
    return "".join(text.split())


def read(case: dict[str, Any]) -> str:
    match case["kind"]:
        case "html":
            return reply_text(html_text(case["text"]))
        case "eml":
            return parse_mail(case["text"].encode()).reply_text
    return reply_text(case["text"])


@pytest.mark.parametrize("kind", REPLIES)
def test_the_replies_of_talon_and_planer_are_cut_out(kind: str) -> None:
    cases = [one for one in samples("replies.json") if one["kind"] == kind]
    # Signatures are cut off as well, which the sets leave.
    wrong = [one["source"] for one in cases if squeezed(read(one)) != squeezed(reply_text(one["reply"]))]

    assert len(cases) - len(wrong) >= REPLIES[kind], wrong
