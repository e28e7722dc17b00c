"""A system that the engine does not know: toys are painted. Its own folder and one row, and every door knows it.

system.py   everything of it
daemon.py   the row, and the production daemon with it      __main__.py   the row, and the command line with it
"""
