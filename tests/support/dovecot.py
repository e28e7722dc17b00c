"""A real Dovecot on loopback, with TLS and XOAUTH2. Every user exists who logs in with the password."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from imapclient import IMAPClient

from pipeline_engine.embedded.ports import HOST, free_ports
from pipeline_engine.embedded.program import Program

PASSWORD = "the-password-of-every-mailbox"
PROGRAMS = ("dovecot", "/usr/sbin/dovecot")
START_SECONDS = 20
WAIT_FOR_OTHERS = "-o DPkg::Lock::Timeout=120"
"""Several test processes may install it at the same time."""

CONF = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = sdbox:~/sdbox
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0
mail_max_userip_connections = 200
mail_fsync = never
ssl = yes
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = static
  mechanisms = plain login
  args = "password={password}"
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/mail/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Sent {{
    auto = create
    special_use = \\Sent
  }}
  mailbox Trash {{
    auto = create
    special_use = \\Trash
  }}
}}
service imap-login {{
  chroot =
  service_count = 0
  process_min_avail = 1
  client_limit = 400
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 400
  service_count = 0
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""


class Dovecot:
    """`port` speaks plainly and STARTTLS, `tls_port` TLS from the first byte, with the certificate of `ca_file`."""

    def __init__(self, folder: Path, port: int, tls_port: int) -> None:
        self.folder, self.port, self.tls_port = folder, port, tls_port
        self.ca_file = folder / "server.pem"
        self._program = Program("Dovecot", folder / "output.log")

    def client(self, user: str) -> IMAPClient:
        """A client of the mailbox, for what people and other programs do in it."""
        client = IMAPClient(HOST, self.port, ssl=False, timeout=30)
        client.login(user, PASSWORD)
        return client

    def account(self, user: str, **fields: Any) -> dict[str, Any]:
        """The fields of an `email_accounts` document of the mailbox."""
        return {
            "provider": "imap",
            "host": "localhost",
            "port": self.tls_port,
            "security": "tls",
            "username": user,
            "password": PASSWORD,
            "active": True,
            **fields,
        }

    def tail(self) -> str:
        """The end of its log."""
        log = self.folder / "dovecot.log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def _start(self, introspection: str) -> None:
        user, group = ("nobody", "nogroup") if os.getuid() == 0 else (getpass.getuser(), str(os.getgid()))
        _certificate(self.folder)
        (self.folder / "mail").mkdir()
        (self.folder / "oauth2.conf").write_text(
            f"introspection_mode = auth\nintrospection_url = {introspection}\n"
            "force_introspection = yes\nusername_attribute = email\n"
            "active_attribute = active\nactive_value = yes\n"
        )
        ports = {"port": self.port, "tls_port": self.tls_port}
        conf = CONF.format(folder=self.folder, user=user, group=group, password=PASSWORD, **ports)
        (self.folder / "dovecot.conf").write_text(conf)
        if os.getuid() == 0:
            shutil.chown(self.folder / "mail", user, group)
        for parent in [self.folder, *self.folder.parents][:-1]:
            if not parent.stat().st_mode & 0o001:  # Dovecot's processes have a user of their own
                parent.chmod(parent.stat().st_mode | 0o011)
        self._program.start([_installed(), "-F", "-c", self.folder / "dovecot.conf"], os.environ, self.folder)

    async def until_ready(self) -> None:
        async def attempt() -> None:
            self.client("nobody@example.org").logout()

        await self._program.until_ready(attempt, Exception, START_SECONDS)

    async def stop(self) -> None:
        await self._program.stop(5)
        shutil.rmtree(self.folder, ignore_errors=True)


def _installed() -> str:
    """Where Dovecot is; it is installed where that can be done. Without it the test is skipped, and fails in CI."""
    for attempt in range(2):
        for name in PROGRAMS:
            if found := shutil.which(name):
                return found
        if attempt == 0 and os.getuid() == 0 and shutil.which("apt-get"):
            install = f"apt-get {WAIT_FOR_OTHERS} install -y -qq --no-install-recommends dovecot-imapd"
            subprocess.run(
                ["sh", "-c", f"{install} || (apt-get update -qq && {install})"], check=False, capture_output=True
            )
    message = "Dovecot is not installed (Debian's package dovecot-imapd), so no mailbox is read in this run"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


async def start_dovecot(introspection: str = "http://127.0.0.1:9/") -> Dovecot:
    """A Dovecot with its data in a folder of its own; `introspection` says whose access tokens are.

    That folder is none of pytest's: every run that begins beside this one closes those to Dovecot's user.
    """
    _installed()
    port, tls_port = free_ports(2)
    folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
    dovecot = Dovecot(folder, port, tls_port)
    dovecot._start(introspection)
    await dovecot.until_ready()
    return dovecot


def _certificate(folder: Path) -> None:
    """A certificate of its own for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address(HOST))])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
    builder = builder.add_extension(hosts, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = builder.sign(key, hashes.SHA256())
    encoding = serialization.Encoding.PEM
    (folder / "server.pem").write_bytes(made.public_bytes(encoding))
    private = serialization.PrivateFormat.PKCS8
    (folder / "server.key").write_bytes(key.private_bytes(encoding, private, serialization.NoEncryption()))
