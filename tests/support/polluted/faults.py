"""The faults of polluted files, one function each: it makes a table that has the fault out of one that has it not."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from tests.support.polluted.clean import NAMES, Table

CELL = "\ue001"
"""Stands for the delimiter in lines before and behind the table."""
CZECH = ("Žižkov", "Příbram", "Česká Lípa", "Kroměříž", "Ústí nad Labem")
POLISH = ("Łódź", "Gdańsk", "Częstochowa", "Rzeszów", "Świętochłowice")
RUSSIAN = ("Москва", "Санкт-Петербург", "Нижний Новгород", "Казань", "Самара")
JAPANESE = ("東京都新宿区", "大阪市北区", "横浜市", "株式会社サクラ", "名古屋市中区")
CHINESE = ("上海市", "北京市", "广州市", "深圳市", "杭州市")
TAIWANESE = ("台北市", "高雄市", "新竹縣", "台中市", "桃園市")
KOREAN = ("서울시 강남구", "부산시", "대전시", "인천시", "광주시")


class Fault(NamedTuple):
    """Faults of one `group` exclude each other; `weight` says how common the fault is in files that people have."""

    name: str
    group: str
    weight: int
    spoil: Callable[[Table], Table]


def _set(name: str, group: str, weight: int = 1, **changes: object) -> Fault:
    return Fault(name, group, weight, lambda table: table.changed(**changes))


def _in(encoding: str, cities: tuple[str, ...], weight: int = 1, mark: bytes = b"") -> Fault:
    def spoil(table: Table) -> Table:
        names = dict(enumerate(cities))
        rows = tuple(
            tuple(names[n % len(cities)] if place == 7 else _ascii(cell) for place, cell in enumerate(row))
            for n, row in enumerate(table.rows)
        )
        return table.changed(rows=rows, encoding=encoding, mark=mark)

    return Fault(f"encoding {encoding}", "encoding", weight, spoil)


def _ascii(cell: str) -> str:
    return unicodedata.normalize("NFD", cell).encode("ascii", errors="ignore").decode()


def _plain_rows(table: Table) -> Table:
    """Cells that need no quotes, and none written."""
    strange = str.maketrans(dict.fromkeys(',;|"\n\t', " "))
    rows = tuple(tuple(" ".join(cell.translate(strange).split()) for cell in row) for row in table.rows)
    return table.changed(rows=rows, delimiter="\t", quote="")


def _decimal_commas(table: Table) -> Table:
    rows = []
    for row in table.rows:
        whole, cents = row[1].split(".")
        rows.append((row[0], f"{int(whole):,}".replace(",", ".") + f",{cents} €", *row[2:]))
    return table.changed(rows=tuple(rows), delimiter=";")


def _no_header(table: Table) -> Table:
    numbers = tuple(str(number) for number in range(1, len(table.names) + 1))
    return table.changed(names=numbers, wanted=numbers, header=())


def _columns(count: int) -> Callable[[Table], Table]:
    def spoil(table: Table) -> Table:
        names = tuple((NAMES * 8)[place] + f" {place}" * (place >= len(NAMES)) for place in range(count))
        rows = tuple((row * 8)[:count] for row in table.rows)
        return table.changed(names=names, rows=rows, wanted=names)

    return spoil


def _header_rows(*rows: tuple[str, ...]) -> Callable[[Table], Table]:
    def spoil(table: Table) -> Table:
        joined = tuple(" ".join(part for part in parts if part) for parts in zip(*rows, strict=True))
        return table.changed(names=joined, header=rows, wanted=joined)

    return spoil


def _named(place: int, name: str, wanted: str | None = None) -> Callable[[Table], Table]:
    """The header has another name at a place; the import maps `wanted`, or the column not at all."""

    def spoil(table: Table) -> Table:
        names = (*table.names[:place], name, *table.names[place + 1 :])
        others = tuple(other for n, other in enumerate(table.names) if n != place)
        return table.changed(names=names, wanted=(*others, wanted) if wanted else others)

    return spoil


def _row(number: int, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Callable[[Table], Table]:
    """One row has other cells, which a reader should find so."""

    def spoil(table: Table) -> Table:
        place = number if number > 0 else len(table.rows) + 1 + number
        cells = change(table.rows[place - 1])
        whole = cells + ("",) * (len(table.names) - len(cells))
        written = table.expected(place, whole)
        return table.changed(**written, replaced={**table.replaced, place: lambda now: now.line(cells)})

    return spoil


def _line(number: int, change: Callable[[Table, tuple[str, ...]], str]) -> Callable[[Table], Table]:
    """One row stands in the file in another way; its cells are the same."""

    def spoil(table: Table) -> Table:
        return table.changed(replaced={**table.replaced, number: lambda now: change(now, now.rows[number - 1])})

    return spoil


def _cell(number: int, place: int, text: str) -> Callable[[Table], Table]:
    """One cell stands in the file without quotes, as it is."""

    def spoil(table: Table) -> Table:
        cells = table.rows[number - 1]
        changed = table.expected(number, (*cells[:place], text, *cells[place + 1 :]))
        return table.changed(**changed, replaced={**table.replaced, number: lambda now: _with_raw(now, number, place)})

    return spoil


def _with_raw(table: Table, number: int, place: int) -> str:
    row = table.rows[number - 1]
    raw = table.changed(quote="").line((row[place],))
    return table.delimiter.join(
        [*(table.line((cell,)) for cell in row[:place]), raw, *(table.line((cell,)) for cell in row[place + 1 :])]
    )


def _other_delimiter(table: Table, cells: tuple[str, ...]) -> str:
    return table.changed(delimiter="~~").line(cells)


def _other_escapes(table: Table, cells: tuple[str, ...]) -> str:
    return table.changed(escape="backslash").line(cells)


def _other_quotes(table: Table, cells: tuple[str, ...]) -> str:
    return table.changed(quote="'", quote_all=True).line(cells)


def _another_table(width: int, *, blank: bool) -> tuple[str, ...]:
    names = ("Owner", "Team", "Seats", "Region", "Since", "Active", "Desk", "Floor", "Badge", "Lang", "Shift", "Car")[
        :width
    ]
    rows = [
        [f"owner {n}", f"team {n % 3}", str(n * 3), "west", "2024", "yes", str(n), "2", f"B{n}", "en", "day", "no"]
        for n in range(6)
    ]
    lines = [names, *rows]
    return ("",) * blank + tuple(CELL.join(line[:width]) for line in lines)


def _tables_before(table: Table) -> Table:
    return table.changed(before=(*_another_table(6, blank=False), ""))


def _nfd(table: Table) -> Table:
    names = ("Größe", "Montant réglé", *table.names[2:])
    shown = tuple(unicodedata.normalize("NFD", name) for name in names)
    return table.changed(names=shown, wanted=names)


FAULTS: tuple[Fault, ...] = (
    _set("byte order mark", "encoding", 4, mark=b"\xef\xbb\xbf"),
    _set("encoding cp1252", "encoding", 4, encoding="cp1252"),
    _set("encoding iso8859-15", "encoding", 1, encoding="iso8859-15"),
    _set("encoding mac-roman", "encoding", 1, encoding="mac-roman"),
    _set("encoding utf-16-le with mark", "encoding", 2, encoding="utf-16-le", mark=b"\xff\xfe"),
    _set("encoding utf-16-be with mark", "encoding", 1, encoding="utf-16-be", mark=b"\xfe\xff"),
    _set("encoding utf-16-le", "encoding", 1, encoding="utf-16-le"),
    _set("encoding utf-16-be", "encoding", 1, encoding="utf-16-be"),
    _in("cp1250", CZECH, 2),
    _in("cp1250", POLISH),
    _in("cp1251", RUSSIAN, 2),
    _in("koi8-r", RUSSIAN),
    _in("cp932", JAPANESE, 2),
    _in("gb18030", CHINESE, 2),
    _in("cp950", TAIWANESE),
    _in("cp949", KOREAN),
    _set("delimiter semicolon", "delimiter", 8, delimiter=";"),
    _set("delimiter tab", "delimiter", 4, delimiter="\t"),
    _set("delimiter pipe", "delimiter", 2, delimiter="|"),
    _set("delimiter space", "delimiter", 1, delimiter=" "),
    _set("delimiter colon", "delimiter", 1, delimiter=":"),
    _set("delimiter caret", "delimiter", 1, delimiter="^"),
    _set("delimiter tilde", "delimiter", 1, delimiter="~"),
    _set("delimiter control character", "delimiter", 1, delimiter="\x1f"),
    _set("delimiter comma and blank", "delimiter", 2, delimiter=", "),
    _set("delimiter two pipes", "delimiter", 1, delimiter="||"),
    _set("delimiter two tabs", "delimiter", 1, delimiter="\t\t"),
    _set("delimiter pipe between blanks", "delimiter", 1, delimiter=" | "),
    _set("delimiter backslash and t", "delimiter", 1, delimiter="\\t"),
    _set("sep line", "delimiter", 4, delimiter=";", separator_line=True),
    _set("sep line with comma", "delimiter", 1, separator_line=True),
    Fault("decimal commas", "delimiter", 4, _decimal_commas),
    Fault("no quotes at all", "delimiter", 2, _plain_rows),
    _set("all cells quoted", "quote", 4, quote_all=True),
    _set("single quotes", "quote", 1, quote="'", quote_all=True),
    _set("backslash escapes", "quote", 1, escape="backslash"),
    _set("line ends CR", "end", 1, line_end="\r"),
    _set("line ends CRLF", "end", 8, line_end="\r\n"),
    _set("line ends mixed", "end", 2, other_line_ends={1: "\r\n", 5: "\r", 9: "\r\n"}),
    _set("no line end at the end", "last", 4, ends_last_line=False),
    _set("title", "before", 8, before=("Deal export",)),
    _set("three lines of text", "before", 4, before=("Deal export", "created on 2025-03-04 by Ada", "all pipelines")),
    _set("title and blank line", "before", 8, before=("Deals of March", "")),
    _set("lines of name and value", "before", 4, before=(f"Report{CELL}Deals", f"Created{CELL}2025-03-04", "")),
    _set("titles as wide rows", "before", 4, before=("Deal export*", "Deals of March*", "*")),
    _set("name and value as wide rows", "before", 2, before=(f"Created{CELL}2025-03-04{CELL * 7}", "*")),
    _set("comment lines", "before", 1, before=("# deals, all of them", "# made by a program")),
    _set("blank lines first", "before", 2, before=("", "", "*")),
    _set("note behind a blank line", "after", 4, after=("", "Confidential. For internal use only.")),
    _set("three lines behind", "after", 2, after=("End of report", "40 rows in all", "Source: the CRM")),
    _set("note as a wide row", "after", 2, after=("*", "Source: our own CRM*")),
    _set("total", "after", 4, after=(f"Total{CELL}182,340.00{CELL * 7}",)),
    _set("total and note", "after", 2, after=("*", f"Summe{CELL}182340.00{CELL * 7}", "", "Stand: 04.03.2025")),
    _set("blank rows at the end", "after", 4, after=("*",) * 30),
    Fault("no header", "header", 8, _no_header),
    Fault(
        "two header rows",
        "header",
        4,
        _header_rows(
            ("Deal", "Value", "Stage", "Close", "Contact", "Contact", "Phone", "City", "Note"),
            ("Name", "in EUR", "", "Date", "Name", "Email", "", "", ""),
        ),
    ),
    Fault(
        "three header rows",
        "header",
        1,
        _header_rows(
            ("Deal", "Deal", "Deal", "Deal", "Contact", "Contact", "Contact", "Contact", "Note"),
            ("Name", "Value", "Stage", "Close", "Name", "Email", "Phone", "City", ""),
            ("text", "EUR", "text", "date", "text", "text", "text", "text", "text"),
        ),
    ),
    Fault("two equal names", "header", 2, _named(8, "City")),
    Fault("a name is missing", "header", 2, _named(7, "")),
    Fault("the last name is missing", "header", 2, _named(8, "")),
    Fault("padded name", "header", 2, _named(1, "  Value ", "Value")),
    Fault("line break in a name", "header", 2, _named(0, "Deal\nName", "Deal Name")),
    Fault("no-break space in a name", "header", 2, _named(4, "Contact\u00a0Name", "Contact Name")),
    Fault("invisible characters in a name", "header", 1, _named(2, "\u200bStage\u00ad", "Stage")),
    Fault("decomposed accents in names", "header", 1, _nfd),
    Fault("other case of names", "header", 2, _named(5, "CONTACT EMAIL", "Contact Email")),
    Fault("a very long name", "header", 1, _named(8, "Note " * 400)),
    Fault("percent and slash in a name", "header", 1, _named(1, "HEAD/%R", "HEAD/%R")),
    _set("blank lines between", "blank", 4, blank_rows={3: "", 20: ""}),
    _set("rows of bare delimiters between", "blank", 4, blank_rows={2: "*", 21: "*"}),
    _set("delimiters behind each line", "trailing", 2, trailing=1),
    Fault("first row short", "ragged", 2, _row(1, lambda cells: cells[:5])),
    Fault("a row short", "ragged", 2, _row(20, lambda cells: cells[:5])),
    Fault("last row short", "ragged", 2, _row(-1, lambda cells: cells[:5])),
    Fault("first row long", "ragged", 1, _row(1, lambda cells: (*cells, "x", "y", "z"))),
    Fault("last row long", "ragged", 1, _row(-1, lambda cells: (*cells, "x", "y", "z"))),
    Fault("a row of another delimiter", "row", 1, _line(20, _other_delimiter)),
    Fault("a row of other quotes", "row", 1, _line(20, _other_quotes)),
    Fault("a row of other escapes", "row", 1, _line(20, _other_escapes)),
    Fault("inch mark", "row", 4, _cell(7, 0, 'Pipe 5" wide')),
    Fault("stray quote opens a cell", "row", 2, _cell(7, 0, '"Pipe wide')),
    _set("another table behind a blank line", "tables", 2, after=_another_table(6, blank=True)),
    _set("another wider table behind", "tables", 1, after=_another_table(12, blank=True)),
    _set("another table at once", "tables", 1, after=_another_table(6, blank=False)),
    _set("another wider table at once", "tables", 1, after=_another_table(12, blank=False)),
    Fault("another table before", "tables", 1, _tables_before),
    Fault("one column", "size", 2, _columns(1)),
    Fault("two columns", "size", 2, _columns(2)),
    Fault("sixty columns", "size", 1, _columns(60)),
    Fault("one row", "size", 2, lambda table: table.changed(rows=table.rows[:1])),
    Fault("no rows", "size", 1, lambda table: table.changed(rows=())),
    Fault("four hundred rows", "size", 1, lambda table: table.changed(rows=table.rows * 10)),
)  # fmt: skip
SAME_PLACE = (
    {"before", "tables"},
    {"after", "tables"},
    {"header", "size"},
    {"ragged", "size"},
    {"row", "size"},
    {"ragged", "row"},
    {"delimiter", "size"},
    {"encoding", "size"},
)
"""Groups whose faults would undo each other."""
