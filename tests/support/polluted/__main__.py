"""Writes how well polluted files are read: `python -m tests.support.polluted [options]`.

`--pairs N`, `--triples N`: every n-th pair or triple (0 = none); `--misses`: each file that is not read perfectly;
`--by-fault`: the average of each fault; `--nameless`: the import maps no columns.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict

from tests.support.polluted.engine_reader import read_polluted
from tests.support.polluted.pollute import Polluted, pollute
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
            _write(f"{found:6.3f}  {polluted.name}")
    average = sum(map(sum, scores.values())) / max(1, sum(map(len, scores.values())))
    by_weight, each = weighted / max(1, weights), seconds / max(1, files) * 1000
    _write(f"{at_once} at once: {files} files, {average:.3f} all alike, {by_weight:.3f} weighted, {each:.1f} ms")
    if "--by-fault" in sys.argv:
        for name, of_fault in sorted(scores.items(), key=lambda item: sum(item[1]) / len(item[1])):
            _write(f"| {name} | {sum(of_fault) / len(of_fault):.3f} |")


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def scored(polluted: Polluted) -> float:
    """The score of one file; a refusal or a crash of the reader scores 0."""
    names = () if "--nameless" in sys.argv else polluted.table.wanted
    try:
        found = read_polluted(polluted.data, names)
    except Exception as error:
        if "--misses" in sys.argv:
            _write(f"        {polluted.name}: {error!r}")
        return 0.0
    return score(found, polluted.table.answer)


main()
