"""The keeper's way in: `python -m pipeline_engine.embedded`, started by EmbeddedServers, orders on stdin."""

from __future__ import annotations

import sys

from pipeline_engine.embedded.keeper import main

if __name__ == "__main__":
    sys.exit(main())
