"""What stands in Redis is only read when we sealed it."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.lanes import Codec, Refused
from pipeline_engine.lanes.codec import MAX_JOB_BYTES, Payload

CODEC = Codec(bytes(range(32)))
JOB: dict[str, Any] = {"t": None, "f": "deals.import.plan", "a": ["64b0", 7], "k": {"x": True}, "et": 1_795_366_238_333}

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_what_was_sealed_comes_back(value: object) -> None:
    assert CODEC.deserialize(CODEC.serialize(value)) == value


def test_a_job_in_arqs_format_is_read_as_a_payload() -> None:
    sealed = CODEC.serialize({**JOB, "a": ("64b0", 7)})
    assert CODEC.payload(sealed) == Payload("deals.import.plan", ["64b0", 7], {"x": True}, 1_795_366_238_333)
    assert CODEC.deserialize(sealed) == JOB


def test_times_survive() -> None:
    now = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
    assert CODEC.deserialize(CODEC.serialize(now)) == now


@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused_and_nothing_else_happens(planted: bytes) -> None:
    with pytest.raises(Refused):
        CODEC.payload(planted)


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_changed_bit_is_enough(position: int, bit: int) -> None:
    sealed = bytearray(CODEC.serialize(JOB))
    sealed[position % len(sealed)] ^= 1 << bit
    with pytest.raises(Refused):
        CODEC.payload(bytes(sealed))


@pytest.mark.parametrize(
    "planted",
    [pickle.dumps(JOB), Codec(bytes(32)).serialize(JOB), CODEC.serialize(JOB)[:-1], CODEC.serialize(JOB) + b"\0", b""],
    ids=["pickle", "another key", "cut", "longer", "empty"],
)
def test_planted_payloads_are_refused(planted: bytes) -> None:
    with pytest.raises(Refused, match="wrong digest"):
        CODEC.payload(planted)


@pytest.mark.parametrize("value", [[], {"f": "x"}, {**JOB, "f": 7}, {**JOB, "a": "text"}, {**JOB, "k": {1: 2}}])
def test_sealed_but_no_job_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="not in the job format"):
        CODEC.payload(CODEC.serialize(value))


def test_sixty_four_kilobytes_are_the_most() -> None:
    fits = b"x" * (MAX_JOB_BYTES - 16 - 5)
    assert len(CODEC.serialize(fits)) <= MAX_JOB_BYTES
    with pytest.raises(ValueError, match="send ids, not content"):
        CODEC.serialize(b"x" * MAX_JOB_BYTES)
    with pytest.raises(Refused, match="over the limit"):
        CODEC.payload(b"x" * (MAX_JOB_BYTES + 1))


def test_a_refusal_never_quotes_what_it_refuses() -> None:
    with pytest.raises(Refused) as refusal:
        CODEC.payload(CODEC.serialize({"f": "CANARY", "a": "CANARY"}))
    assert "CANARY" not in str(refusal.value)
    assert refusal.value.__suppress_context__


def test_a_short_key_is_no_key_and_a_long_one_is_used_whole() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        Codec(b"short")
    long = b"a" * 100
    with pytest.raises(Refused):
        Codec(long + b"1").payload(Codec(long + b"2").serialize(JOB))
