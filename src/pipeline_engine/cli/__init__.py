"""The command line: one file per command, or per group of commands.

Shared by all: session.py (settings, exit codes), arguments.py (reads what an operator types), screen.py (prints),
daemons.py (warns when no daemon runs).
"""
