"""Scheduled CRM jobs: what runs by time of day or at intervals, once per account and slot. One file per job."""
