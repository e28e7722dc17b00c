"""The doors over HTTP: health, and triggers for people who do not want to wait for the next look.

server.py   listens                          site.py      the routes, and what may pass
health.py   alive, ready                     triggers.py  a sweep, now
bearer.py   who asks                         refusal.py   errors as JSON
"""
