"""Mailboxes of users: what is in them, and what follows from it."""
