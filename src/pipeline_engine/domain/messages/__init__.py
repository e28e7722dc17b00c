"""Everything that leaves the engine: composing, recipients, the record before the send, and the senders by channel.

Automations, leads, sequences, welcome mails and workflows share it; it knows none of them.
"""
