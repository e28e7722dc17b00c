"""The demo's part on mailboxes: three mails come back for those of the lead pipeline, and each has another effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from email import message_from_string
from urllib.parse import unquote, urlsplit

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli.demo.demo_run import DemoRun, Facts
from pipeline_engine.cli.demo.lead_pipeline import LEADS
from pipeline_engine.cli.demo.sample_mails import ANSWER, AWAY, REPORT, returned
from pipeline_engine.domain.messages.open_mailbox import open_mailbox
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.repos.client import Document
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import open_app

SWEEPS = ("crm.email_sync", "leads.actions")
"""What reads the mailbox, and what moves the leads on then."""
BACK = {"the lead who answered": ANSWER, "the lead who is away": AWAY, "the lead without mailbox": REPORT}
"""{name in the summary: what comes back for the mail to this lead}."""


async def run(demo: DemoRun) -> Facts:
    """Put the mails into a mailbox, have it read, and show what follows from each."""
    settings = demo.settings.model_copy(update={"allow_private_hosts": True})
    async with open_app(settings) as app:
        sent = await _sent(demo)
        await _receive(app, demo, [returned(*both) for both in zip(BACK.values(), sent, strict=True)])
        results = (await run_once(settings, SWEEPS)).results
        stored = await app.database["email_messages"].find({"account_id": demo.crm.account}).to_list(None)
        suppressed = await app.database["suppressions"].find({"account_id": demo.crm.account}).to_list(None)
        runs = [(name, await _run_of(app, mail["To"])) for name, mail in zip(BACK, sent, strict=True)]
    kinds = Counter(one["kind"] for one in stored)
    return [
        ("mails stored", ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))),
        ("answer without its quote", ", ".join(one["reply_text"] for one in stored if one["kind"] == "message")),
        *runs,
        ("suppressed", ", ".join(f"{one['address']} ({one['reason']})" for one in suppressed)),
        ("seconds", round(sum(one.seconds for one in results), 2)),
    ]


async def _sent(demo: DemoRun) -> list[Mapping[str, str]]:
    """The headers of the mails to the last leads, who have not replied."""
    records = await Sink(demo.smtp_sink).records()
    mails = {one["recipients"][0]: dict(message_from_string(one["message"]).items()) for one in records}
    return [mails[f"lead{LEADS - n}@company.example"] for n in range(len(BACK))]


async def _receive(app: App, demo: DemoRun, mails: Sequence[bytes]) -> None:
    """Insert the mailbox as the CRM does, and put the mails into it."""
    url = urlsplit(demo.mailbox)
    login = {"username": unquote(url.username or ""), "password": url.password}
    server = {"provider": "imap", "host": url.hostname, "port": url.port, "security": "none"}
    own = {"account_id": demo.crm.account, "user_id": demo.crm.user}
    document: Document = {"_id": ObjectId(), **own, **server, **login, "active": True}
    await app.database["email_accounts"].insert_one(document)
    async with open_mailbox(app, document) as mailbox:
        for mail in mails:
            await mailbox.append("INBOX", mail)


async def _run_of(app: App, address: str) -> str:
    """Where the run of the lead with this address is."""
    (lead,) = await app.database["leads"].find({"email": address}).to_list(1)
    (run,) = await app.database["lead_stages"].find({"_id": lead["lead_stage_id"]}).to_list(1)
    (stage,) = await app.database["pipeline_stages"].find({"_id": run["stage_id"]}).to_list(1)
    reason = f": {run['reason']}" if run.get("reason") else ""
    return f"{run['status']} in {stage['name']!r}{reason}"
