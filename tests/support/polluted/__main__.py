"""Prints the score of the detection by fault: `python -m tests.support.polluted [--pairs N] [--triples N] [--misses]`."""

from __future__ import annotations

import sys
import time
from collections import defaultdict

from tests.support.polluted.pollute import Polluted, pollute
from tests.support.polluted.reference_reader import read_polluted
from tests.support.polluted.score import score

PERFECT = 9.999


def main() -> None:
    for at_once, every in ((1, 1), (2, _option("--pairs", 1)), (3, _option("--triples", 60))):
        if every:
            _report(at_once, every)


def _option(name: str, default: int) -> int:
    return int(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


def _report(at_once: int, every: int) -> None:
    scores: dict[str, list[float]] = defaultdict(list)
    weighted, weights, seconds, files = 0.0, 0, 0.0, 0
    for polluted in pollute(at_once, every=every):
        began = time.process_time()
        found = scored(polluted)
        seconds += time.process_time() - began
        files += 1
        for fault in polluted.faults:
            scores[fault.name].append(found)
        weight = min(fault.weight for fault in polluted.faults)
        weighted, weights = weighted + found * weight, weights + weight
        if found < PERFECT and ("--misses" in sys.argv):
            print(f"{found:6.3f}  {polluted.name}")  # noqa: T201
    average = sum(map(sum, scores.values())) / max(1, sum(map(len, scores.values())))
    print(f"{at_once} at once: {files} files, {average:.3f} all alike, {weighted / max(1, weights):.3f} weighted, {seconds / max(1, files) * 1000:.1f} ms each")  # noqa: T201
    if "--by-fault" in sys.argv:
        for name, found_scores in sorted(scores.items(), key=lambda item: sum(item[1]) / len(item[1])):
            print(f"| {name} | {sum(found_scores) / len(found_scores):.3f} |")  # noqa: T201


def scored(polluted: Polluted) -> float:
    """The score of one file; a refusal or a crash of the reader scores 0."""
    names = () if "--nameless" in sys.argv else polluted.table.wanted
    try:
        found = read_polluted(polluted.data, names)
    except Exception as error:
        if "--misses" in sys.argv:
            print(f"        {polluted.name}: {error!r}")  # noqa: T201
        return 0.0
    return score(found, polluted.table.answer)


main()
