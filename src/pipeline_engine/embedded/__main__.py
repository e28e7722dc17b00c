"""Starts the keeper: `python -m pipeline_engine.embedded`. EmbeddedServers runs it and writes the orders to stdin."""

from __future__ import annotations

import sys

from pipeline_engine.embedded.keeper import main

if __name__ == "__main__":
    sys.exit(main())
