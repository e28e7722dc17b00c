"""Webhooks: every event that an endpoint of a tenant wants is posted to it, signed, until it has accepted it."""
