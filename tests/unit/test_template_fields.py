"""Which fields of a deal are read for a template: those that it names, or all when it uses the deal as a whole."""

from __future__ import annotations

import pytest

from pipeline_engine.domain.messages.merge_fields import deal_fields
from pipeline_engine.providers.rendering import MAX_TEMPLATE_CHARS, Batch, names_in

CONTACT = ["contact_name", "contact_email", "contact_phone"]


def fields(*sources: str) -> list[str] | None:
    """As for an e-mail with these parts."""
    return deal_fields(names_in(Batch(dict(zip(("subject", "html", "text"), sources, strict=False)), [])))


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("no field at all", []),
        ("{{ contact.name }} of {{ account.name }}", []),
        ("{{ deal.name }} {{ deal['value'] }} {{ deal.name | upper }}", ["value", "name"]),
        ("{% if deal.closed_at and deal.tags[0] %}{{ deal.owner }}{% endif %}", ["closed_at", "tags", "owner"]),
        ("{% for tag in deal.tags %}{{ tag.name }}{% endfor %}", ["tags"]),
        ("{{ deal.additional_info['64b0c0ffee0000000000aa01'].x or deal.region }}", ["additional_info", "region"]),
        ("{% macro hi(one) %}{{ one }}{% endmacro %}{{ hi(deal.source) }}", ["source"]),
    ],
)
def test_the_fields_that_a_template_names(source: str, named: list[str]) -> None:
    found = fields(source)
    assert found is not None
    assert (found[:3], set(found[3:])) == (CONTACT, set(named))


@pytest.mark.parametrize(
    "source",
    [
        "{{ deal }}",
        "{{ deal | items | join }}",
        "{{ deal.items() | list }}",
        "{{ deal.get('name') }}",
        "{{ deal | attr('name') }}",
        "{{ deal[account.name] }}",
        "{{ deal['na' ~ 'me'] }}",
        "{{ deal['a.b'] }}",
        "{{ deal['$where'] }}",
        "{{ deal[''] }}",
        "{% for name in deal %}{{ name }}{% endfor %}",
        "{% set one = deal %}{{ one.name }}",
        "{% macro hi(one) %}{{ one.name }}{% endmacro %}{{ hi(deal) }}",
        "{% if 'name' in deal %}x{% endif %}{{ deal.name }}",
    ],
)
def test_a_template_that_uses_the_whole_deal_gets_all_of_it(source: str) -> None:
    assert fields(source) is None
    assert fields("{{ deal.name }}", source) is None
    assert fields(source, "{{ deal.name }}") is None


def test_fields_of_all_parts_count() -> None:
    assert fields("{{ deal.name }}", "{{ deal.value }}") == [*CONTACT, "name", "value"]


def test_a_template_that_is_refused_needs_nothing() -> None:
    assert fields("{{ deal") == fields("(" * 9999 + "{{" + "(" * 9999) == CONTACT
    assert fields("{{ deal }}" + "x" * MAX_TEMPLATE_CHARS) == CONTACT


def test_when_the_names_are_not_known_all_fields_are_read() -> None:
    assert deal_fields(None) is None
