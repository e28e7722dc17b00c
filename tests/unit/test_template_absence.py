"""What a template makes of fields that a record does not have, and of names that no record can have."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline_engine.domain.messages.merge_fields import FIELDS_OF, merge_fields
from pipeline_engine.providers.rendering import Batch, Filled, fill

FIELD = "64b0c0ffee0000000000aa01"
KNOWN: dict[str, list[str] | None] = {name: list(fields) for name, fields in FIELDS_OF.items() if name != "lead"}
BARE: dict[str, Any] = {"_id": 1}
NULL = {"_id": 1, "name": None, "contact_phone": None, "value": None, "tags": None, "additional_info": None}
NULL_FIELD = {**NULL, "additional_info": {FIELD: None}}
PATHS = (
    *("deal.contact_phone", "deal.value", "deal.closed_at", "contact.name", "contact.company", "account.country"),
    *(f"deal.additional_info['{FIELD}']", "deal.additional_info.anything.below", "deal['contact_phone']"),
    *("deal.get('value')", "contact.name.split(' ')[0]", "contact.name.split(' ')[1]", "deal.tags[0]"),
    *(
        "deal.closed_at.strftime('%d.%m.%Y')",
        "deal.closed_at.year",
        "deal.value * 2",
        "deal.value / 3 - 1",
        "-deal.value",
    ),
)
FILTERS = (
    *("upper", "lower", "title", "capitalize", "trim", "replace('a', 'b')", "truncate(5)", "striptags", "escape"),
    *("first", "last", "join(', ')", "sort | join", "unique | join", "list | join", "reverse | join", "wordwrap(9)"),
    *("round", "round(2)", "abs", "max", "min", "string", "urlize", "indent", "dictsort | join", "items | join"),
    *("map('upper') | join", "select | join", "batch(2) | join", "center(0)", "attr('x')", "random", "e"),
)


def filled(source: str, deal: dict[str, Any], part: str = "text") -> Filled:
    (one,) = fill(Batch({part: source}, [merge_fields({}, deal=deal)], KNOWN))
    return one


def text(source: str, deal: dict[str, Any]) -> str:
    one = filled(source, deal)
    assert one.error is None, source
    return one.texts["text"]


@pytest.mark.parametrize("deal", [BARE, NULL, NULL_FIELD])
@pytest.mark.parametrize("path", PATHS)
def test_an_absent_field_is_empty_however_it_is_used(path: str, deal: dict[str, Any]) -> None:
    path = f"({path})"
    assert text(f"[{{{{ {path} }}}}]", deal) == "[]"
    assert text(f"{{{{ {path} or 'x' }}}}{{{{ {path} | default('y') }}}}", deal) == "xy"
    assert text(f"{{% if {path} %}}a{{% else %}}b{{% endif %}}", deal) == "b"
    assert text(f"{{% if {path} > 5 or {path} <= 3 or 'a' in {path} %}}a{{% else %}}b{{% endif %}}", deal) == "b"
    assert text(f"{{% if {path} is none and {path} == '' and {path} is not defined %}}a{{% endif %}}", deal) == "a"
    assert text(f"{{% for one in {path} %}}a{{% endfor %}}", deal) == ""
    assert text(f"{{{{ 'Dear ' + {path} + '!' }}}}{{{{ 'Dear ' ~ {path} ~ '!' }}}}", deal) == "Dear !Dear !"
    assert text(f"{{{{ 'a%sb' % {path} }}}}{{{{ '{{}}{{:>5.2f}}'.format({path}, {path}) }}}}", deal) == "ab"
    assert text(f"{{{{ '%.2f' | format({path}) }}}} {{{{ {path} + 3 }}}} {{{{ {path} | int(7) }}}}", deal) == "0.00 3 7"
    assert filled(f"<b>{{{{ {path} }}}}</b>", deal, "html").texts["html"] == "<b></b>"


@pytest.mark.parametrize("used", FILTERS)
@pytest.mark.parametrize("path", ["deal.contact_phone", "contact.name", f"deal.additional_info['{FIELD}']"])
def test_no_filter_prints_none_or_raises(path: str, used: str) -> None:
    for deal in (BARE, NULL, NULL_FIELD):
        assert text(f"{{{{ {path} | {used} }}}}", deal).strip() in ("", "[]"), used


def test_lists_and_numbers_of_nothing() -> None:
    source = "{{ deal.tags | length }} {{ deal.value | sum }} {{ deal.value | float }} {{ deal.tags }}"
    assert text(source + "{{ deal.value | tojson }}", NULL) == '0 0 0 ""'
    assert "None" not in text("{{ deal }} {{ deal.additional_info }} {{ contact }}", NULL_FIELD)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ deal.nmae }}", "unknown variable 'nmae' of deal; the nearest known name is 'name'"),
        (
            "{{ deal['contact_phon'] }}",
            "unknown variable 'contact_phon' of deal; the nearest known name is 'contact_phone'",
        ),
        (
            "{% if contact.emial %}x{% endif %}",
            "unknown variable 'emial' of contact; the nearest known name is 'email'",
        ),
        ("{{ contact.nam.split(' ') }}", "unknown variable 'nam' of contact; the nearest known name is 'name'"),
        ("{{ account.nme or 'x' }}", "unknown variable 'nme' of account; the nearest known name is 'name'"),
        ("{{ dael.name }}", "unknown variable 'dael'; the nearest known name is 'deal'"),
        ("{% for tag in deal.tag %}{% endfor %}", "unknown variable 'tag' of deal; the nearest known name is 'tags'"),
        ("{{ deal.automation_triggered }}", "unknown variable 'automation_triggered' of deal"),
        ("{% if false %}{{ deal.nmae }}{% endif %}", "unknown variable 'nmae' of deal"),
    ],
)
def test_a_name_that_no_record_can_have_is_refused_for_all(source: str, reason: str) -> None:
    contexts = [merge_fields({}, deal={"_id": n, "name": "A"}) for n in range(2)]
    for one in fill(Batch({"text": source}, contexts, KNOWN)):
        assert (one.texts, (one.error or "").startswith(f"the template's text: {reason}")) == ({}, True), one.error


@pytest.mark.parametrize(
    "source",
    [
        "{{ deal.nmae | default('') }}",
        "{% if deal.nmae is defined %}{{ deal.nmae }}{% endif %}",
        "{% set deal = {} %}{{ deal.nmae }}",
        "{% for deal in [{}] %}{{ deal.nmae }}{% endfor %}",
        "{% macro m(deal) %}{{ deal.nmae }}{% endmacro %}{{ m({}) }}",
    ],
)
def test_a_name_that_the_template_provides_for_is_empty(source: str) -> None:
    assert text(source, BARE) == ""


def test_a_field_that_another_deal_of_the_batch_has_is_no_mistake() -> None:
    contexts = [merge_fields({}, deal={"_id": n, **own}) for n, own in enumerate(({"region": "North"}, {}))]
    assert [one.texts for one in fill(Batch({"text": "{{ deal.region }}"}, contexts, KNOWN))] == [
        {"text": "North"},
        {"text": ""},
    ]


def test_a_misspelled_function_of_a_value_is_refused_for_that_deal_only() -> None:
    contexts = [merge_fields({}, deal={"_id": n, "name": name}) for n, name in enumerate(("A", None))]
    first, second = fill(Batch({"text": "{{ deal.name.splt(' ') }}"}, contexts, KNOWN))
    assert "unknown variable 'splt'" in (first.error or "")
    assert second.texts == {"text": ""}
