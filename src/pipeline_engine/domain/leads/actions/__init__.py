"""The actions of lead pipelines: one file and one row of `table.py` per type."""
