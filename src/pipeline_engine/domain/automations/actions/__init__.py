"""The eleven actions: one file each, one row each in `table.py`."""
