"""Clients of the services outside the engine: S3, mail, SMS, the CRM's API, sockets, and child processes.

Each is a small typed interface that raises only errors of `pipeline_engine.errors`.
"""
