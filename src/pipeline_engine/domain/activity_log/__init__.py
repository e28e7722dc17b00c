"""Writes who did what to what, from consumed events."""
