"""Which facts move a contact from one lifecycle stage to the next. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_engine.domain.scoring import number_or
from pipeline_engine.repos.contact_score import GRADES

ALL_GRADES = (*(grade for grade, _ in GRADES), "F")
MIN_INTENT = 50.0


@dataclass(frozen=True)
class LifecycleRules:
    """What an account asks of a contact for each stage; by default what the CRM's manual says."""

    mql_grades: tuple[str, ...]
    mql_intent: float
    """The contact's intent score must be above it."""
    mql_form: bool
    sql_grades: tuple[str, ...]
    sql_activities: tuple[str, ...]
    """One of these is needed; empty: none is."""
    opportunity_deal: bool
    customer_won: bool
    customer_close_date: bool


def read_rules(profile: Mapping[str, Any]) -> LifecycleRules:
    """The rules in `lifecycle_rules` of the account's profile; a value of another type counts as absent."""
    given = profile.get("lifecycle_rules")
    rules = given if isinstance(given, Mapping) else {}
    mql, sql, opportunity, customer = (_part(rules, name) for name in ("mql", "sql", "opportunity", "customer"))
    return LifecycleRules(
        mql_grades=_from(mql.get("min_grade"), "B"),
        mql_intent=number_or(mql.get("min_intent"), MIN_INTENT),
        mql_form=mql.get("form_submission") is not False,
        sql_grades=_from(sql.get("min_grade"), "A"),
        sql_activities=_texts(sql.get("activities"), ("call", "meeting")),
        opportunity_deal=opportunity.get("deal") is not False,
        customer_won=customer.get("won") is not False,
        customer_close_date=customer.get("close_date") is not False,
    )


def of_grades(grades: Sequence[str]) -> dict[str, Any]:
    """A filter for contacts of these grades, the best first. One without a grade has that of its score."""
    least = dict(GRADES).get(grades[-1])
    ungraded = {"lead_grade": None} if least is None else {"lead_grade": None, "lead_score": {"$gte": least}}
    return {"$or": [{"lead_grade": {"$in": list(grades)}}, ungraded]}


def grade_of(contact: Mapping[str, Any]) -> str:
    """The contact's grade, else that of its score."""
    score = number_or(contact.get("lead_score"), 0)
    return str(contact.get("lead_grade") or next((grade for grade, least in GRADES if score >= least), "F"))


def _part(rules: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = rules.get(name)
    return part if isinstance(part, Mapping) else {}


def _from(grade: object, default: str) -> tuple[str, ...]:
    """The grades from the best to this one."""
    least = grade if isinstance(grade, str) and grade in ALL_GRADES else default
    return ALL_GRADES[: ALL_GRADES.index(least) + 1]


def _texts(value: object, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, Sequence | set) else default
