"""Progress as text in Redis, where others may write too."""

from __future__ import annotations

import pytest

from pipeline_engine.lanes import Progress
from pipeline_engine.lanes.progress import ProgressBoard


@pytest.mark.parametrize("progress", [Progress(0), Progress(7), Progress(7, 10), Progress(0, 0)])
def test_what_is_written_is_read(progress: Progress) -> None:
    assert Progress.read(str(progress).encode()) == progress


@pytest.mark.parametrize("text", [b"", b"-1", b"1/", b"/2", b"1/2/3", b"a", b"\xff", b"9" * 19, b"1 "])
def test_other_text_is_no_progress(text: bytes) -> None:
    assert Progress.read(text) is None


def test_the_board_keeps_the_newest_note_of_a_job_once() -> None:
    board = ProgressBoard()
    board.note("a", "1", Progress(1))
    board.note("a", "1", Progress(2))
    assert board.take() == {("a", "1"): Progress(2)}
    assert board.take() == {}
