"""Workflows: consumed events enrol contacts, and each enrolment goes through its own copy of the workflow's steps."""
