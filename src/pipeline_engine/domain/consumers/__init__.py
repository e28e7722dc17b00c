"""Consumes CRM events: each in the order of its key, by every consumer of its type, with retries and dead letters."""
