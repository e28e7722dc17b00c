"""Alerts about deals on which nothing happens."""
