"""Sequences: e-mails to a contact, one after the other, until it answers, leaves or has had them all."""
