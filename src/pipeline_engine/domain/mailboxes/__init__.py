"""Mailboxes of tenants, read without loss: every message has one row, stored or left out with a reason."""
