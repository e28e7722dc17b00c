"""HTTP for operators and the CRM: health checks, and triggers that start a sweep at once.

server.py   listens              site.py       the routes, and the checks on every request
connection.py  limits and deadlines of a connection
health.py   alive, ready         triggers.py   start a sweep
access.py   bearer tokens, and refusals as JSON
"""
