"""The insight of a day: figures, trends, what needs attention, and recommendations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline_engine.domain.jobs.insights.figures import Figures
from pipeline_engine.domain.jobs.insights.trends import Findings, find_trends, mean_text
from pipeline_engine.domain.jobs.writing.check import MAX_ANSWER_LINES, ModelLine, accepted
from pipeline_engine.domain.jobs.writing.display import count
from pipeline_engine.domain.jobs.writing.fact_sheet import Fact, FactSheet, Line, placeholders
from pipeline_engine.domain.jobs.writing.model import Model

MAX_RECOMMENDATIONS = 4
MIN_ACTIVITIES = 5

RECOMMENDATIONS = {
    "stalled_stage": "Follow up on stalled deals in the {S} stage",
    "stale_deals": "Go through the inactive deals and set a next step for each, or close it",
    "new_contacts_up": "Make sure that every new contact has an owner who calls today",
    "new_contacts_down": "Check the sources of new contacts: forms, campaigns and imports",
    "new_deals_down": "Look for contacts of high intent for whom no deal is open",
    "new_deals_up": "Plan first meetings for the new deals while interest is fresh",
    "stage_changes_down": "Go through open deals with the team and move or close them",
    "open_rate_up": "Use the subject lines of the last campaign again",
    "open_rate_down": "Try other subject lines and times of sending",
    "click_rate_up": "Use the last campaign's content for other contacts too",
    "click_rate_down": "Check that each mail asks for one clear next step",
    "emails_sent_down": "Check that sequences and mailboxes are running",
    "top_performer": "Let {U} show the team what works",
}
"""By the kind of a fact, what to do because of it. `{S}` and `{U}` are the names in the fact."""

INSTRUCTIONS = (
    "You advise the admins of a sales team. From yesterday's figures derive at most four things to do today. In"
    " `recommendations` write one short line in English for each, and the numbers of the facts it rests on."
)


class InsightAnswer(BaseModel):
    """Recommendations as a model returns them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    recommendations: list[ModelLine] = Field(max_length=MAX_ANSWER_LINES)


async def write_insight(figures: Figures, insight_id: Any, model: Model) -> dict[str, Any]:
    """The insight as it is stored: `{metrics, trending_up, needs_attention, recommendations, written_by}`. Figures and
    trends are the engine's; a model only recommends."""
    sheet = FactSheet()
    findings = find_trends(figures, sheet, insight_id)
    add_performer(figures, sheet, insight_id)
    lines, written_by = await _recommend(sheet, model)
    return {
        "metrics": figures.metrics,
        **_filled(sheet, findings),
        "recommendations": [sheet.fill(line.wording) for line in lines],
        "written_by": written_by,
        "window_ends_at": figures.end,
    }


async def _recommend(sheet: FactSheet, model: Model) -> tuple[Sequence[Line], str]:
    if not sheet.facts:
        return [], "rules"
    answer = await model.ask("daily insight", InsightAnswer, INSTRUCTIONS, {"facts": sheet.for_model()})
    by_model = accepted(sheet, answer.recommendations, MAX_RECOMMENDATIONS) if answer else []
    return (by_model, "model") if by_model else (recommend(sheet.facts), "rules")


def recommend(facts: Sequence[Fact]) -> list[Line]:
    """Recommendations by rules: the same facts always give the same ones."""
    return [*_recommendations(facts)][:MAX_RECOMMENDATIONS]


def _recommendations(facts: Sequence[Fact]) -> Iterator[Line]:
    for kind, line in RECOMMENDATIONS.items():
        for fact in facts:
            if fact.kind == kind:
                names = {name[0]: name for name in placeholders(fact.wording)}
                yield Line(
                    line.replace("{S}", f"{{{names.get('S')}}}").replace("{U}", f"{{{names.get('U')}}}"), (fact,)
                )


def add_performer(figures: Figures, sheet: FactSheet, insight_id: Any) -> None:
    """Add who was most active, where that says something: among several users, and by more than a few activities."""
    if len(figures.performers) < 2 or figures.performers[0]["activities"] < MIN_ACTIVITIES:
        return
    first = figures.performers[0]
    name = sheet.name("U", first.get("name"))
    if name:
        done = count(first["activities"], "activity", "activities")
        wording = f"Most active: {name} with {done} (average {mean_text(first['average'])})"
        sheet.add("top_performer", wording, "agent_insights", insight_id)


def _filled(sheet: FactSheet, findings: Findings) -> dict[str, list[str]]:
    return {
        "trending_up": [sheet.fill(fact.wording) for fact in findings.up],
        "needs_attention": [sheet.fill(fact.wording) for fact in findings.attention],
    }
