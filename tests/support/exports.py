"""Twelve exports as spreadsheet and CRM programs of several countries write them, made by hand.

Each says what the import maps, how the file is to be read, and which rows come out, as text.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.support.export_texts import TEXTS


class Export(NamedTuple):
    """`rows` are the cells of the mapped columns in the first and the last row, `total` how many rows there are."""

    name: str
    encoding: str
    mark: bytes
    line_end: str
    mappings: dict[str, str]
    found: dict[str, object]
    """Fields of the `Dialect`."""
    total: int
    first: tuple[str, ...]
    last: tuple[str, ...]

    @property
    def data(self) -> bytes:
        return self.mark + TEXTS[self.name].replace("\n", self.line_end).encode(self.encoding)


EXPORTS = (
    Export(
        "german spreadsheet",
        "cp1252",
        b"",
        "\r\n",
        {"Bezeichnung": "name", "Betrag": "value", "Phase": "stage_id", "Abschlussdatum": "64b0c0ffee0000000000aa01"},
        {
            "encoding": "cp1252",
            "delimiter": ";",
            "header_row": 4,
            "line": 4,
            "skipped": ("lines 1-2 before the header",),
        },
        4,
        ("Dachsanierung Müller", "1.234,50 €", "Neu", "31.01.2025"),
        ("Brücke Süd", "-90,00 €", "Verloren", "02.12.2025"),
    ),
    Export(
        "german program with totals",
        "utf-8",
        b"\xef\xbb\xbf",
        "\r\n",
        {"Firma": "name", "Umsatz netto": "value", "Status": "stage_id"},
        {
            "encoding": "utf-8",
            "delimiter": ";",
            "header_row": 1,
            "start": 3,
            "end_line": 4,
            "skipped": ("lines 5-7 after the table",),
        },
        3,
        ("Groß & Söhne", "12.000,00", "offen"),
        ("Weiß, Otto", "850,75", "gewonnen"),
    ),
    Export(
        "french spreadsheet",
        "mac-roman",
        b"",
        "\r",
        {"Affaire": "name", "Montant HT": "value", "Étape": "stage_id"},
        {"encoding": "mac-roman", "delimiter": ";", "header_row": 1},
        3,
        ("Rénovation école", "12\u00a0500,00 €", "Gagné"),
        ("Crêperie « Chez Zoé »", "980,5", "Nouveau"),
    ),
    Export(
        "french program",
        "iso8859-15",
        b"",
        "\n",
        {"Nom de l'affaire": "name", "Montant": "value", "Étape": "stage_id", "Échéance": "64b0c0ffee0000000000aa01"},
        {"encoding": "iso8859-15", "delimiter": "\t", "header_row": 1},
        2,
        ("Main d'œuvre", "1 200,00 €", "Négociation", "15/03/2025"),
        ("Bâche à façon", "75,00 €", "Perdu", "01/12/2025"),
    ),
    Export(
        "czech spreadsheet",
        "cp1250",
        b"",
        "\r\n",
        {"Název obchodu": "name", "Částka": "value", "Fáze": "stage_id"},
        {"encoding": "cp1250", "delimiter": ";", "header_row": 1},
        3,
        ("Střecha Žižkov", "125 000,00 Kč", "Nový"),
        ("Výměna oken Příbram", "48 200,50 Kč", "Uzavřeno"),
    ),
    Export(
        "japanese spreadsheet",
        "cp932",
        b"",
        "\r\n",
        {"商談名": "name", "金額": "value", "フェーズ": "stage_id", "完了予定日": "64b0c0ffee0000000000aa01"},
        {"encoding": "cp932", "delimiter": ",", "header_row": 1},
        3,
        ("株式会社山田 屋根工事", "1,200,000円", "新規", "2025/04/01"),
        ("表示ソフト更新", "98,000円", "受注", "2025/12/24"),
    ),
    Export(
        "brazilian program",
        "utf-8",
        b"",
        "\n",
        {"Negócio": "name", "Valor (R$)": "value", "Etapa": "stage_id"},
        {"encoding": "utf-8", "delimiter": ",", "header_row": 1},
        3,
        ("Reforma São João", "R$ 1.234,56", "Qualificação"),
        ("Manutenção; portão", "R$ 90,00", "Fechado"),
    ),
    Export(
        "polish spreadsheet",
        "cp1250",
        b"",
        "\r\n",
        {"Nazwa": "name", "Wartość": "value", "Etap": "stage_id"},
        {"encoding": "cp1250", "delimiter": ";", "header_row": 2, "skipped": ("line 1, which names the delimiter",)},
        3,
        ("Dach Łódź", "12 500,00 zł", "Nowy"),
        ("Okna Świętochłowice", "980,00 zł", "Wygrany"),
    ),
    Export(
        "russian program",
        "cp1251",
        b"",
        "\r\n",
        {"Название сделки": "name", "Сумма": "value", "Этап": "stage_id"},
        {"encoding": "cp1251", "delimiter": ";", "header_row": 1, "end_line": 4},
        3,
        ("Ремонт крыши", "120 000,00", "Новая"),
        ("Окна, Казань", "48 500,50", "Успешно"),
    ),
    Export(
        "chinese program",
        "gb18030",
        b"",
        "\r\n",
        {"客户名称": "name", "金额": "value", "阶段": "stage_id"},
        {"encoding": "gb18030", "delimiter": ",", "header_row": 1},
        2,
        ("上海科技有限公司", "12,000.00", "新建"),
        ("北京贸易公司", "980.50", "成交"),
    ),
    Export(
        "unicode text of a spreadsheet",
        "utf-16-le",
        b"\xff\xfe",
        "\r\n",
        {"Oportunidad": "name", "Importe": "value", "Fase": "stage_id"},
        {"encoding": "utf-16-le", "delimiter": "\t", "header_row": 1, "start": 2},
        3,
        ("Año nuevo", "1.500,00 €", "Propuesta"),
        ("Señalización Málaga", "75,25 €", "Ganada"),
    ),
    Export(
        "american program",
        "utf-8",
        b"",
        "\n",
        {"Deal Name": "name", "Amount": "value", "Deal Stage": "stage_id", "Close Date": "64b0c0ffee0000000000aa01"},
        {"encoding": "utf-8", "delimiter": ",", "header_row": 1},
        3,
        ('Pipe 3" (large), north', "$1,234.50", "Appointment Scheduled", "2025-01-31 17:45"),
        ("Closet", "", "Closed Won", ""),
    ),
)
