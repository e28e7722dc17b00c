"""The types of steps, one file each; `table.py` has them all."""
