"""The actions: one file and one row of `table.py` per automation type."""
