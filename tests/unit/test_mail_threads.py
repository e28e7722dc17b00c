"""Mails find the same threads in whatever order they arrive."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.mail.parsed_mail import ParsedMail, parse_mail
from pipeline_engine.domain.mail.threads import choose_thread, related_ids
from tests.support.mails import mail


def mail_of(id: str, *references: str) -> ParsedMail:
    headers = [f"Message-ID: <{id}@x>"]
    if references:
        headers += [f"References: {' '.join(f'<{one}@x>' for one in references)}"]
    return parse_mail(mail(*headers))


class Store:
    """What the caller of `choose_thread` keeps."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[ParsedMail, str]] = {}

    def add(self, new: ParsedMail) -> None:
        known = {id: thread for one, thread in self.rows.values() for id in related_ids(one) if id in related_ids(new)}
        choice = choose_thread(new, known)
        moved = {id: (one, choice.thread_id) for id, (one, thread) in self.rows.items() if thread in choice.merged}
        self.rows |= moved | {new.message_id: (new, choice.thread_id)}

    @property
    def threads(self) -> set[frozenset[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for id, (_, thread) in self.rows.items():
            found[thread].add(id)
        return {frozenset(ids) for ids in found.values()}


def threads_of(mails: list[ParsedMail]) -> set[frozenset[str]]:
    store = Store()
    for one in mails:
        store.add(one)
    return store.threads


@pytest.mark.covers("CL-14")
def test_a_parent_that_comes_late_joins_the_threads_of_its_answers() -> None:
    first, middle, last = mail_of("a"), mail_of("b", "a"), mail_of("c", "b")
    other = mail_of("z")
    expected = {frozenset({"<a@x>", "<b@x>", "<c@x>"}), frozenset({"<z@x>"})}

    for order in permutations([first, middle, last, other]):
        assert threads_of(list(order)) == expected


def test_answers_to_a_mail_that_never_comes_are_one_thread() -> None:
    assert threads_of([mail_of("b", "missing"), mail_of("c", "missing")]) == {frozenset({"<b@x>", "<c@x>"})}


@given(st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_no_thread(references: list[list[int]], random: object) -> None:
    mails = [mail_of(str(n), *(str(one) for one in some if one != n)) for n, some in enumerate(references)]
    shuffled = list(mails)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert threads_of(shuffled) == threads_of(mails)
