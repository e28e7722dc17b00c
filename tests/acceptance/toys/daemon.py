"""The row, and the production daemon with it."""

from pipeline_engine import workers
from pipeline_engine.daemon import worker_settings
from tests.acceptance.toys.system import SYSTEM

workers.SYSTEMS = (*workers.SYSTEMS, SYSTEM)

WorkerSettings = worker_settings()
