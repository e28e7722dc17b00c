"""Real servers from wheels, for the demo, development and tests. Linux and macOS.

MongoDB, Valkey, SeaweedFS and two sinks (Socket.IO, SMTP) run as one group on free loopback ports. A keeper process
owns them: it holds the read end of a pipe whose other end is in the process that asked for them, and when that pipe
closes - an orderly stop, a crash, a SIGKILL - it ends them all and removes their folder.

servers.py      what callers use: EmbeddedServers
keeper.py       the process that owns the group            orders.py   what the two say to each other
group.py        its parts, together                        folder.py   the private data folder
parts.py        the table of parts
mongo.py redis.py s3.py socket_sink.py smtp_sink.py        one part each
program.py      a server program as a child process        locate.py   where its executable is
records.py      what a sink keeps, told over HTTP          sink.py     the reader's end of that
ports.py        free ports                                 listen.py   a web application on one

There are no passwords but S3's: anybody with an account on this machine can reach the servers while they run.
"""

from __future__ import annotations

from pipeline_engine.embedded.servers import EmbeddedServers

__all__ = ["EmbeddedServers"]
