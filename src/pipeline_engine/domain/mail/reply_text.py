# ruff: noqa: RUF001 (words of many languages)
"""Cuts what a reply quotes, so that what the person wrote is left.

Own rules by line: on the public samples (docs/mail.md) they find more than mail-parser-reply, whose expressions take
exponential time on hostile texts.
"""

from __future__ import annotations

import re

MAX_LINES = 2_000
MAX_LINE_CHARS = 500
MAX_ATTRIBUTION_LINES = 4

_ORIGINAL = (
    r"original( message| appointment)?|reply message|ursprüngliche nachricht|originalnachricht|antwort"
    r"|message d'origine|message original|mensaje original|mensagem original|messaggio originale"
    r"|oorspronkelijk bericht|opprinnelig melding|oprindelig meddelelse|ursprungligt meddelande|alkuperäinen viesti"
    r"|wiadomość oryginalna|původní zpráva|eredeti üzenet|исходное сообщение|пересылаемое сообщение|原始邮件"
    r"|forwarded message|weitergeleitete nachricht|message transféré"
)
_WROTE = (
    r"wrote|écrit|schrieb|schreef|geschreven|escribió|escribio|escreveu|scritto|skrev|napisał|napisała|napisał\(a\)"
    r"|napsal|написал|написала|пишет|kirjoitti|írta|yazdı|a scris|έγραψε|写道|viết|geschrieben"
)
_FIELDS = (
    r"from|sent|to|subject|date|cc|reply-to|von|gesendet|an|betreff|datum|de|envoyé|à|objet|enviado(?: el)?|para"
    r"|asunto|assunto|da|inviato|a|oggetto|data|van|verzonden|aan|onderwerp|fra|sendt|til|emne|från|skickat|till|ämne"
    r"|od|wysłano|do|temat|от|отправлено|кому|тема|дата|发件人|发送时间|收件人|主题"
)
FIRST_FIELDS = {"from", "von", "de", "da", "van", "fra", "från", "od", "от", "发件人", "date", "subject", "to"}
DIVIDER = re.compile(
    rf"\s*(?:[-–—_*]{{2,}}\s*(?:{_ORIGINAL})\b.{{0,40}}|_{{20,}}\s*|begin forwarded message:?\s*|-{{20,}}\s*)$", re.I
)
HEADER_FIELD = re.compile(rf"[\s*_>]{{0,6}}({_FIELDS})\s?[*_]{{0,3}}\s?[:：]", re.I)
OPENING = re.compile(
    r"[\s\-–—*_>]{0,6}(on|am|le|el|em|il|op|den|på|dne|dnia|w dniu|в|at|no dia|kl|pe|στις|vào|在|sent from)\b", re.I
)
WROTE = re.compile(rf"(?<!\w)(?:{_WROTE})(?!\w)[^:：]{{0,100}}[:：]?\s*$", re.I)
DATE = re.compile(r"\d{1,4}[./-]\d|\d:\d\d|(?<!\d)(?:19|20)\d\d(?!\d)")
SAME_LINE = re.compile(r"(?<=\S)[\s-]{1,5}On\s(?=.{0,250}\d)")
DATE_AND_ADDRESS = re.compile(
    r"\s{0,4}\d{4}[-/.年]\s?\d{1,2}[-/.月]\s?\d{1,2}.{0,150}<[^<>\s]{1,100}@[^<>\s]{1,100}>\s?[:：]?\s*$"
)
SIGNATURE = re.compile(r"(--|—|__)\s?$")
SENT_FROM = re.compile(
    r"\s*(sent (from|via|with) (my |the )?[\w .'-]{2,40}|get outlook for \w+.{0,60}"
    r"|von meinem [\w .-]{2,30} gesendet|envoyé de mon [\w .-]{2,30}|enviado (desde|do) (mi|meu) [\w .-]{2,30}"
    r"|inviato da [\w .-]{2,30}|verzonden (vanaf|met) [\w .-]{2,30})\.?\s*$",
    re.I,
)


def reply_text(text: str) -> str:
    """The text without quotes and signature. A text that is a quote from its first line on is returned whole."""
    lines = [line.replace("\xa0", " ").rstrip()[:MAX_LINE_CHARS] for line in text.splitlines()[:MAX_LINES]]
    kept = "\n".join(_without_signature(_without_quotes(lines))).strip()
    return kept or text.strip()


def _without_quotes(lines: list[str]) -> list[str]:
    kept: list[str] = []
    index = 0
    while index < len(lines):
        if _is_quoted(lines[index]):
            index += 1
        elif length := _attribution(lines, index):
            kept += _before_attribution(lines[index])
            if not _quote_follows(lines, index + length):
                break  # this writer's program marks no line of the quote, so all that follows is one
            index += length
        elif _divides(lines, index):
            break
        else:
            kept.append(lines[index])
            index += 1
    return kept


def _is_quoted(line: str) -> bool:
    return line.lstrip().startswith((">", "|>"))


def _attribution(lines: list[str], index: int) -> int:
    """How many lines from here on say who wrote the quote below; 0 if they do not."""
    if not lines[index].strip():
        return 0
    for length in range(1, MAX_ATTRIBUTION_LINES + 1 if OPENING.match(lines[index]) else 2):
        some = lines[index : index + length]
        if length > 1 and _is_quoted(some[-1]):
            return 0
        if _is_attribution(" ".join(some)[:MAX_LINE_CHARS], _quote_follows(lines, index + length)):
            return length
    return 0


def _before_attribution(line: str) -> list[str]:
    """What the writer put on the line before it says who wrote the quote."""
    found = None if OPENING.match(line) else SAME_LINE.search(line)
    return [line[: found.start()]] if found else []


def _is_attribution(text: str, before_quote: bool) -> bool:
    """Without a line below that is marked as quoted, a date or address, the writer and a colon are needed."""
    wrote = WROTE.search(text)
    if not wrote:
        return bool(DATE_AND_ADDRESS.match(text))
    if before_quote:
        return True
    before = text[: wrote.start()]
    return text.rstrip().endswith((":", "：", "-")) and ("@" in text or bool(DATE.search(before)))


def _quote_follows(lines: list[str], index: int) -> bool:
    return any(_is_quoted(line) for line in lines[index : index + 3])


def _divides(lines: list[str], index: int) -> bool:
    """Whether a quote with a divider, or with the headers of the mail quoted, begins here."""
    if DIVIDER.match(lines[index]):
        return not set(lines[index].strip()) <= {"-", "_"} or _has_headers(lines, index + 1)
    return _has_headers(lines, index)


def _has_headers(lines: list[str], index: int) -> bool:
    some = [line for line in lines[index : index + 12] if line.strip()][:6]
    fields = [found.group(1).lower() if (found := HEADER_FIELD.match(line)) else "" for line in some]
    count = len({one for one in fields if one})
    return bool(fields) and fields[0] in FIRST_FIELDS and (count >= 3 or (count == 2 and "@" in "".join(some[:2])))


def _without_signature(lines: list[str]) -> list[str]:
    end = next((index for index, line in enumerate(lines) if index and SIGNATURE.match(line)), len(lines))
    kept = lines[:end]
    while kept and (not kept[-1].strip() or (len(kept) > 1 and SENT_FROM.match(kept[-1]))):
        kept.pop()
    return kept
