"""Reads mails: text, reply, kind and thread. Pure functions; what is read may be hostile."""
