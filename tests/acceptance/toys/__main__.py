"""The row, and the command line with it."""

from pipeline_engine import workers
from pipeline_engine.__main__ import main
from tests.acceptance.toys.system import SYSTEM

workers.SYSTEMS = (*workers.SYSTEMS, SYSTEM)

main()
