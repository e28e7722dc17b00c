"""Ends the runs of leads who want no more messages."""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.domain.leads.ending import exit_runs
from pipeline_engine.domain.messages.known_leads import known_leads
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.repos.lead_repos import LeadRepos


async def cancel(app: App[LeadRepos], wish: OptOut) -> int:
    """End the runs of the leads with the address, where their stage lets this end them. Returns how many."""
    return await exit_runs(app, wish.account_id, await known_leads(app, wish), "unsubscribed")
