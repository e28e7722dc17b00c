"""The repos of lead pipelines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.crm_events import CRM_EVENTS
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.due_leads import DueLeads
from pipeline_engine.repos.lead_delays import LEAD_DELAYS, LeadDelays
from pipeline_engine.repos.lead_exits import ACTIVITIES, CALENDAR_EVENTS, LEAD_EXIT_MARKS, LeadExits
from pipeline_engine.repos.lead_pauses import PIPELINES, LeadPauses
from pipeline_engine.repos.lead_records import LeadRecords
from pipeline_engine.repos.lead_responses import LEAD_RESPONSES, TASKS, LeadResponses, Tasks
from pipeline_engine.repos.lead_stage_actions import LEAD_STAGE_ACTIONS, PIPELINE_STAGE_ACTIONS, LeadStageActions
from pipeline_engine.repos.lead_stages import LEAD_STAGES, LeadStages
from pipeline_engine.repos.leads import LEADS, Leads
from pipeline_engine.repos.messages import SUPPRESSIONS
from pipeline_engine.repos.stages import PIPELINE_STAGES
from pipeline_engine.repos.store import Store

LEAD_COLLECTIONS: tuple[CollectionSpec, ...] = (
    LEAD_STAGES,
    LEAD_STAGE_ACTIONS,
    PIPELINE_STAGE_ACTIONS,
    PIPELINE_STAGES,
    PIPELINES,
    LEADS,
    LEAD_RESPONSES,
    TASKS,
    LEAD_EXIT_MARKS,
    LEAD_DELAYS,
    ACTIVITIES,
    CALENDAR_EVENTS,
    SUPPRESSIONS,
    CRM_EVENTS,
)
ORIGIN = ("automation", "lead_id")
"""What says that a note or task is the engine's own: the lead stage and the lead that it was written for."""


@dataclass(frozen=True)
class LeadRepos:
    """Leads, the runs that they are in, and what ends their waits and runs."""

    lead_stages: LeadStages
    due_leads: DueLeads
    lead_stage_actions: LeadStageActions
    leads: Leads
    lead_responses: LeadResponses
    lead_tasks: Tasks
    lead_pauses: LeadPauses
    lead_exits: LeadExits
    lead_delays: LeadDelays
    lead_records: LeadRecords
    written_for_leads: Callable[[str], DerivedDocuments]

    @classmethod
    def open(cls, store: Store) -> LeadRepos:
        stages = LeadStages(store)
        return cls(
            lead_stages=stages,
            due_leads=DueLeads(store, stages),
            lead_stage_actions=LeadStageActions(store),
            leads=Leads(store),
            lead_responses=LeadResponses(store),
            lead_tasks=Tasks(store),
            lead_pauses=LeadPauses(store),
            lead_exits=LeadExits(store),
            lead_delays=LeadDelays(store),
            lead_records=LeadRecords(store),
            written_for_leads=lambda collection: DerivedDocuments(store, collection, ORIGIN),
        )
