"""Funnel cloning: from the sweep to the proof that nothing points at the source."""
