"""The job `workflow.step`: the account's due enrolments, several at a time, for a slice of time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.claimed import Claim, ClaimedRun, run_claimed
from pipeline_engine.domain.workflows.jobs import RACE_SECONDS, wake_steps_at
from pipeline_engine.domain.workflows.pauses import keep_to_pauses
from pipeline_engine.domain.workflows.perform import MAX_ATTEMPTS, MAX_CRASHES, Slice as _Slice
from pipeline_engine.domain.workflows.perform import give_up, perform_due
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.workflow_repos import WorkflowRepos

SLICE_SECONDS = 2.0
PLACES = 10
"""Enrolments of one job at a time: at most so many sends are in doubt after a kill."""
MAX_FOUND = 100
HANGS_SECONDS = 1.0
"""So long after the end of a slice a call counts as hanging, and another job of the account goes on beside it."""
