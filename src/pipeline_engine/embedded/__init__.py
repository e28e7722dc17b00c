"""Real servers from wheels, for the demo, development and tests. Linux and macOS.

MongoDB, Valkey, SeaweedFS, two sinks (Socket.IO, SMTP) and, for the demo, a mailbox (IMAP) run as one group on free
loopback ports. A keeper process owns them. It holds the read end of a pipe whose write end is in the process that
asked for the servers. When that pipe closes, by an orderly stop, a crash or a SIGKILL, the keeper ends all servers and
removes their folder.

servers.py      the interface: EmbeddedServers
keeper.py       the process that owns the group            orders.py   the messages between the two
group.py        all its parts                              folder.py   the private data folder
parts.py        the table of parts
mongo.py redis.py s3.py socket_sink.py smtp_sink.py imap.py   one part each
program.py      a server program as a child process        locate.py   where its executable is
records.py      what a sink received, over HTTP            sink.py     the client of that
ports.py        free ports, and a web application on one

Only S3 and the mailbox have a password: every user of this machine can reach the other servers while they run.
"""

from __future__ import annotations

from pipeline_engine.embedded.servers import EmbeddedServers

__all__ = ["EmbeddedServers"]
