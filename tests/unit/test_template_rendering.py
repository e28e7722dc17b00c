from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.providers.rendering import MAX_TEMPLATE_CHARS, MAX_TEXT_CHARS, Batch, Filled, fill, visible_text

DEAL = {"name": "Deal <b>", "value": 5000, "note": None, "items": "three", "entered": datetime(2026, 1, 2, tzinfo=UTC)}


def filled(source: str, part: str = "text", **context: Any) -> Filled:
    (one,) = fill(Batch({part: source}, [{"deal": DEAL, **context}]))
    return one


def text(source: str, part: str = "text", **context: Any) -> str:
    one = filled(source, part, **context)
    assert one.error is None
    return one.texts[part]


def error(source: str, **context: Any) -> str:
    one = filled(source, **context)
    assert not one.texts
    assert one.error
    return one.error


def test_each_context_has_its_answer_and_one_failure_stops_no_other() -> None:
    contexts: list[dict[str, Any]] = [{"name": "A"}, {"name": 5}, {"name": "C"}]
    first, second, third = fill(Batch({"subject": "Hi {{ name.upper() }}"}, contexts))
    assert first.texts == {"subject": "Hi A"}
    assert second.error == "the template's subject: unknown variable 'upper'"
    assert third.texts == {"subject": "Hi C"}


def test_html_is_escaped_and_the_rest_is_not() -> None:
    hostile = '"><img src=x onerror=alert(1)>'
    assert text('<a title="{{ name }}">', "html", name=hostile) == (
        '<a title="&#34;&gt;&lt;img src=x onerror=alert(1)&gt;">'
    )
    assert text("{{ name }}", "subject", name=hostile) == hostile
    assert text("{{ name }}", "text", name=hostile) == hostile


def test_what_a_template_is_given_is_data_and_never_a_template() -> None:
    assert text("{{ name }}", name="{{ 7*7 }}{% for %}") == "{{ 7*7 }}{% for %}"


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("{{ 7*7 }}", "49"),
        ("[{{ deal.note }}]", "[]"),
        ("{{ deal.items }}", "three"),
        ("{{ deal.entered.strftime('%d.%m.%Y') }}", "02.01.2026"),
        ("{{ deal.missing | default('none') }}", "none"),
        ("{% if deal.missing is defined %}a{% else %}b{% endif %}", "b"),
        ("{% for key, value in deal | items %}{{ key }} {% endfor %}", "name value note items entered "),
        ("{{ deal.name | upper }}", "DEAL <B>"),
    ],
)
def test_what_a_template_can_say(source: str, result: str) -> None:
    assert text(source) == result


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ nmae }}", "unknown variable 'nmae'"),
        ("{{ deal.nmae }}", "unknown variable 'nmae'"),
        ("{{ deal['nmae'] }}", "unknown variable 'nmae'"),
        ("{{ deal.nmae.first }}", "unknown variable 'nmae'"),
        ("{% if nmae %}{% endif %}", "unknown variable 'nmae'"),
        ("{{ range(10) }}", "unknown variable 'range'"),
        ("{{ lipsum() }}", "unknown variable 'lipsum'"),
        ("{{ dict() }}", "unknown variable 'dict'"),
        ("{% if %}", "line 1: "),
        ("{{ deal.name }", "line 1: "),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% import 'x' as y %}", "no loader"),
        ("{{ 1/0 }}", "ZeroDivisionError"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "cannot be read"),
        ("{% for a in [1] %}" * 30 + "{% endfor %}" * 30, "cannot be read"),
        ("x" * (MAX_TEMPLATE_CHARS + 1), f"longer than {MAX_TEMPLATE_CHARS} characters"),
        (f"{{{{ 'x' * {MAX_TEXT_CHARS + 1} }}}}", f"more than {MAX_TEXT_CHARS} characters"),
    ],
)
def test_a_bad_template_says_why(source: str, reason: str) -> None:
    assert reason in error(source)
    assert error(source).startswith("the template's text: ")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ deal.__class__ }}",
        "{{ ''['__class__'].__mro__ }}",
        "{{ ('{0.__class__.__mro__}' | attr('format'))(1) }}",  # CVE-2024-56326
        "{{ '{0.__class__.__mro__}'.format(1) }}",
        "{{ ('%s' | attr('__mod__'))(1) }}",
        "{{ (deal | attr('__getattribute__'))('__class__') }}",  # CVE-2025-27516
        "{{ [].append(1) }}",
        "{{ deal.update({'name': 'x'}) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{% set x = deal.clear %}{{ x() }}",
    ],
)
def test_a_template_reaches_nothing_but_its_data(source: str) -> None:
    reason = error(source)
    assert "not allowed" in reason or "unknown variable" in reason


def test_a_text_is_made_from_the_page_where_there_is_none() -> None:
    (one,) = fill(Batch({"html": "<p>Dear {{ name }},</p>"}, [{"name": "O'Neil & Co"}]))
    assert one.texts["text"] == "Dear O'Neil & Co,\n"
    (two,) = fill(Batch({"html": "<p>Dear</p>", "text": "Own words"}, [{}]))
    assert two.texts["text"] == "Own words"


def test_what_is_visible_of_a_page() -> None:
    page = """<html><head><title>no</title><style>p {}</style></head><body><!-- no <b>no</b> -->
      <h1>Big   news</h1><p>Dear <b>John</b>,<br>all is &lt;well&gt;.</p><script>no()</script>
      <ul><li>one</li><li>two</li></ul> 1 < 2</body></html>"""
    assert visible_text(page).splitlines() == ["Big news", "Dear John,", "all is <well>.", "one", "two", "1 < 2"]


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ('<a href="https://x.co/?a=1&amp;b=2">Book a call</a> now', "Book a call (https://x.co/?a=1&b=2) now"),
        ("<A class=b HREF=https://x.co><img src=i></A>", "(https://x.co)"),
        ("<a href='https://x.co'>https://x.co</a>", "https://x.co"),
        ("<a href='#top'>Top</a> <a name=x>there</a>", "Top there"),
        ("<a href='https://x.co'>one <a href='https://y.co'>two</a>", "one (https://x.co)two (https://y.co)"),
        ("<style><a href='https://x.co'></a></style>x", "x"),
    ],
)
def test_the_text_of_a_page_has_the_targets_of_its_links(page: str, line: str) -> None:
    assert visible_text(page) == f"{line}\n"


def test_a_list_is_printed_with_commas() -> None:
    assert text("{{ tags }}", tags=["vip", 5, "a&b"]) == "vip, 5, a&b"
    assert text("{{ tags }}", "html", tags=["a&b", "c"]) == "a&amp;b, c"
    assert text("[{{ tags }}]", tags=[]) == "[]"


@given(st.text())
def test_any_page_has_a_text(page: str) -> None:
    assert visible_text(page).endswith("\n")


@pytest.mark.parametrize(
    "piece",
    [
        *("<", "<script", "<script>", "<!--", "<a ", "</", "&", "&#", "<p", "<aaaa", "-->"),
        *("<a href = ", "<a href=https:x>", " href", "<a href=https:x> </a>"),
    ],
)
def test_a_hostile_page_takes_time_in_proportion(piece: str) -> None:
    started = time.process_time()
    visible_text(piece * (MAX_TEXT_CHARS // len(piece)))
    visible_text("<" + piece.strip("<>") * (MAX_TEXT_CHARS // len(piece)))
    assert time.process_time() - started < 0.5
