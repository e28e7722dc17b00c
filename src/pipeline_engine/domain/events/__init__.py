"""Publishes what the engine's work made true: CRM events and socket events."""
