"""Finds the encoding of a text file from bytes of it.

UTF-8, or any encoding with a byte order mark, is certain. Otherwise each encoding decodes the lines beyond ASCII, and
the one whose characters are the letters of one language wins; the names of columns that the import wants count for more
than any statistics. The plain reading (Windows-1252) stands unless another beats it. What is text in none of them is
UTF-8, so that its rows become row errors.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.column_name import column_name
from pipeline_engine.domain.imports.csv.languages import (
    CENTRAL,
    CHINESE,
    CYRILLIC,
    FREQUENT_CYRILLIC,
    GREEK,
    JAPANESE,
    KOREAN,
    LATIN_9,
    SYMBOLS,
    TAIWANESE,
    TURKISH,
    WESTERN,
)
from pipeline_engine.domain.imports.csv.sign_places import SIGN_IN_PLACE

MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
CANDIDATES: dict[str, tuple[str, ...]] = {
    "cp1252": WESTERN,
    "iso8859-15": LATIN_9,
    "iso8859-1": WESTERN,
    "mac-roman": WESTERN,
    "cp1250": CENTRAL,
    "cp1251": CYRILLIC,
    "koi8-r": CYRILLIC,
    "cp1254": TURKISH,
    "cp1253": GREEK,
    "iso8859-2": CENTRAL,
    "cp850": WESTERN,
    "cp866": CYRILLIC,
    "cp932": JAPANESE,
    "gb18030": CHINESE,
    "cp950": TAIWANESE,
    "cp949": KOREAN,
    "euc_jp": JAPANESE,
}
"""{Python's name: the languages written in it}, the plainest reading first."""
LATIN = [name for name, languages in CANDIDATES.items() if languages in (WESTERN, LATIN_9, CENTRAL, TURKISH)]
CYRILLIC_NAMES = [name for name, languages in CANDIDATES.items() if languages == CYRILLIC]
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", *CANDIDATES)
EQUAL_NAMES = {
    "utf-8-sig": "utf-8",
    "shift_jis": "cp932",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "big5": "cp950",
    "big5hkscs": "cp950",
    "euc_kr": "cp949",
}
"""{what a user may call an encoding: the larger one that the engine reads for it}."""
MAX_SAMPLE_BYTES = 8 * 1024
"""Bytes of lines beyond ASCII that are compared."""
MIN_VALID_SHARE = 0.5
"""Of the characters beyond ASCII; text of another encoding has next to none that are UTF-8."""
MIN_LEAD = 0.05
"""How much better than the plain reading another must be."""
MIN_FOREIGN_BYTES = 4
"""Bytes beyond ASCII below which no other script is considered: two of them look like a Cyrillic word by chance."""
MIN_LETTERS = 0.7
"""The share of letters in use that text has at least; other bytes are UTF-8 with broken characters."""
CASE_CLASH = re.compile("[a-zà-öø-ÿ][À-ÖØ-Þ](?=[a-z])|[\u0430-\u045f][\u0400-\u042f]")
"""A capital inside a word: Cyrillic text of another encoding looks like that."""
SCRIPT_CLASH = re.compile("[A-Za-z][\u0370-\u04ff\uff61-\uff9f]|[\u0370-\u04ff\uff61-\uff9f][A-Za-z]")
"""A Latin letter next to one that is Greek, Cyrillic or half of a Japanese syllable."""
ASCII = re.compile("[\x00-\x7f]+")
ASCII_BYTES = re.compile(rb"[\x00-\x7f]+")


class Encoding(NamedTuple):
    """`name` is Python's, `mark` the length of the byte order mark, `confidence` 0 to 1, `runner_up` '' when sure.

    `is_open`: all bytes are ASCII, so that many encodings read them alike.
    """

    name: str
    mark: int
    confidence: float
    runner_up: str = ""
    is_open: bool = False


def find_encoding(data: bytes, names: Sequence[str] = ()) -> Encoding:
    """Return the encoding of bytes that begin a file, or of any whole lines of it; plain ASCII is UTF-8.

    `names` are columns that the file should have: a reading in which they stand is right.
    """
    for mark, name in MARKS:
        if data.startswith(mark):
            return Encoding(name, len(mark), 1.0)
    if wide := _wide(data):
        return Encoding(wide, 0, 0.95)
    if data.isascii():
        return Encoding("utf-8", 0, 1.0, is_open=True)
    valid, invalid = _utf8_characters(data)
    if valid and valid >= MIN_VALID_SHARE * (valid + invalid):
        return Encoding("utf-8", 0, round(valid / (valid + invalid), 3))
    return _find_legacy(data, names)


def python_name(option: str) -> str | None:
    """Return the engine's name of the encoding that a user calls `option`; None when it is not supported."""
    try:
        name = codecs.lookup(option).name
    except (LookupError, ValueError):
        return None
    name = EQUAL_NAMES.get(name, name)
    return name if name in (*ENCODINGS, "utf-16") else None


def decoded(data: bytes, encoding: str) -> str:
    """Return the text of bytes out of a file; what is no text in the encoding becomes U+FFFD."""
    return data.decode(encoding, errors="replace")


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: every NUL is one half of an ASCII character, so NULs stand on one side only."""
    odd, even = data[1::2].count(0), data[::2].count(0)
    if min(odd, even) * 20 > max(odd, even) or max(odd, even) * 50 < len(data):
        return None
    name = "utf-16-le" if odd > even else "utf-16-be"
    text = decoded(data[: len(data) // 2 * 2], name)
    plain = sum(map(text.count, "\n\r\t,; ")) + sum(map(str.isascii, text[:1000])) / 2
    return (
        name if ("\n" in text or "\r" in text or plain > len(text[:1000]) / 2) and "\ufffd" not in text[:-1] else None
    )


def _utf8_characters(data: bytes) -> tuple[int, int]:
    """How many characters beyond ASCII are UTF-8, and how many places are not (a cut one at the end is neither)."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = decoder.decode(data, False)
    invalid = text.count("\ufffd")
    return len(text) - sum(map(str.isascii, text)) - invalid if not text.isascii() else 0, invalid


def _find_legacy(data: bytes, names: Sequence[str]) -> Encoding:
    sample = _sample(data)
    wanted = [key for name in names if not (key := column_name(name)).isascii()]
    is_short = len(ASCII_BYTES.sub(b"", sample)) < MIN_FOREIGN_BYTES and not wanted
    candidates = {name: CANDIDATES[name] for name in LATIN} if is_short else CANDIDATES
    scores = {name: _score(sample, name, languages, wanted) for name, languages in candidates.items()}
    plain = "cp1252"
    best = max(scores, key=lambda name: scores[name])
    if scores[best] < scores[plain] + MIN_LEAD:
        best = plain
    if candidates[best] == CYRILLIC:
        best = max(CYRILLIC_NAMES, key=lambda name: scores[name] + _frequent(sample, name))
    if _letters(sample, best) < MIN_LETTERS:
        return Encoding("utf-8", 0, 0.3, best)
    second = max((name for name in scores if not _reads_alike(sample, name, best)), key=lambda name: scores[name])
    lead = scores[best] - scores[second]
    return Encoding(best, 0, round(max(0.1, min(1.0, 0.5 + lead)), 3), second if lead < 1 else "")


def _reads_alike(sample: bytes, one: str, other: str) -> bool:
    return decoded(sample, one) == decoded(sample, other)


def _sample(data: bytes) -> bytes:
    """The lines that are not plain ASCII, as far as they fit."""
    lines = [line for line in re.split(rb"[\r\n]+", data) if not line.isascii()]
    # The last line may end in the middle of a character.
    whole = lines[:-1] if len(lines) > 1 and not data.endswith((b"\r", b"\n")) else lines
    return b"\n".join(whole)[:MAX_SAMPLE_BYTES]


def _score(sample: bytes, encoding: str, languages: Sequence[str], wanted: Sequence[str]) -> float:
    """How much the sample looks like text of a language: about 1 when it does, 0 or less when not."""
    text = _text(sample, encoding)
    foreign = ASCII.sub("", text)
    # Where all letters are beyond ASCII, those of a text in capitals are as common as small ones.
    counts = Counter(foreign.lower() if foreign.isupper() and encoding not in LATIN else foreign)
    total = sum(counts.values())
    if not total:
        return 0.0
    best = max(_share(counts, frozenset(language), total) for language in languages)
    clashes = len(CASE_CLASH.findall(text)) + len(SCRIPT_CLASH.findall(text))
    faults = counts["\ufffd"] * 2 + clashes + _odd(counts)
    found = sum(name in column_name(text) for name in wanted)
    return best - faults / total + 2.0 * found


def _text(sample: bytes, encoding: str) -> str:
    """The text as it is judged. On Windows, where people type them, signs in their places count as the euro sign does;
    elsewhere they are more often a letter that was read wrong."""
    text = unicodedata.normalize("NFC", decoded(sample, encoding))
    return SIGN_IN_PLACE.sub("€", text) if encoding.startswith("cp125") else text


def _frequent(sample: bytes, encoding: str) -> float:
    """The share of the letters that Cyrillic text consists of for the most part."""
    text = ASCII.sub("", decoded(sample, encoding)).lower()
    return sum(map(text.count, FREQUENT_CYRILLIC)) / max(1, len(text))


def _letters(sample: bytes, encoding: str) -> float:
    """The share of characters beyond ASCII that are common ones in any language of the encoding."""
    counts = Counter(ASCII.sub("", _text(sample, encoding)))
    return _share(counts, frozenset("".join(CANDIDATES[encoding])), max(1, sum(counts.values())))


def _share(counts: Counter[str], letters: frozenset[str], total: int) -> float:
    """The share of characters that are common ones (a capital counts a little less, any other letter a quarter)."""
    score = 0.0
    for char, times in counts.items():
        if char in letters:
            score += times
        elif char.lower() in letters:
            score += 0.9 * times
        elif char in SYMBOLS:
            score += (1.0 if char == "€" else 0.8) * times
        elif char.isalpha():
            score += 0.25 * times
    return score / total


def _odd(counts: Counter[str]) -> int:
    """How many characters are none that a table of business holds: controls, private use, rare symbols."""
    return sum(
        times
        for char, times in counts.items()
        if char not in SYMBOLS and char != "\ufffd" and unicodedata.category(char)[0] in "CSZ"
    )
