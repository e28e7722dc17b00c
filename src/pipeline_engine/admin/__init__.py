"""HTTP for operators, the CRM and receivers of messages: health checks, metrics, triggers that start a sweep at once,
events, uploads of imports, links to unsubscribe, and inbound texts.

server.py   listens              site.py       the routes, and the checks on every request
connection.py  limits and deadlines of a connection
health.py   alive, ready         triggers.py   start a sweep
metrics.py  figures for Prometheus, written by exposition.py
shared_answer.py   one answer for many requests
events.py   published, shown     posted_event.py   what a client may post
import_uploads.py   taken, shown       posted_import.py, shown_import.py   what a client may post, and is shown
unsubscribe.py, inbound_texts.py   what the receivers of messages reach
access.py   bearer tokens, and refusals as JSON
"""
