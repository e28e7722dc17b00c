"""From settings to connections: opens and closes every adapter, and knows them all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pymongo
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from pipeline_engine import failpoints, ids, lanes
from pipeline_engine.clock import Clock
from pipeline_engine.errors import ConfigError, Unreachable
from pipeline_engine.providers.child_process import ChildProcess
from pipeline_engine.providers.claims import Rules
from pipeline_engine.providers.crm_api import CrmApi
from pipeline_engine.providers.email import Mailer
from pipeline_engine.providers.renderer import Renderer
from pipeline_engine.providers.sms import Sms
from pipeline_engine.providers.sockets import LoggedSockets, Sockets, SocketService
from pipeline_engine.providers.storage import Storage
from pipeline_engine.providers.tokens import ServiceTokens
from pipeline_engine.repos.accounts import Accounts
from pipeline_engine.repos.automation_deals import AutomationDeals
from pipeline_engine.repos.automation_logs import AutomationLogs
from pipeline_engine.repos.automation_units import AutomationUnits
from pipeline_engine.repos.automations import Automations
from pipeline_engine.repos.changes import Changes
from pipeline_engine.repos.client import Document, connect
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.csv_imports import CsvImports
from pipeline_engine.repos.deals import Deals
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.effects import Effects
from pipeline_engine.repos.events import Events
from pipeline_engine.repos.forms import Forms
from pipeline_engine.repos.funnel_steps import FunnelSteps
from pipeline_engine.repos.funnels import Funnels
from pipeline_engine.repos.heartbeat import Heartbeat
from pipeline_engine.repos.import_chunks import ImportChunks
from pipeline_engine.repos.imports import Imports
from pipeline_engine.repos.job_store import MongoJobStore
from pipeline_engine.repos.lease import Lease
from pipeline_engine.repos.references import References
from pipeline_engine.repos.server import Server
from pipeline_engine.repos.sites_images import SitesImages
from pipeline_engine.repos.stages import Stages
from pipeline_engine.repos.step_components import StepComponents
from pipeline_engine.repos.support_tokens import SupportTokens
from pipeline_engine.repos.suppressions import Suppressions
from pipeline_engine.repos.templates import Templates
from pipeline_engine.repos.users import Users
from pipeline_engine.settings import Settings

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

PATIENCE = 5.0
"""Seconds that a server gets to answer for the first time."""
TIMEOUTS = re.compile(r" \(configured timeouts: [^)]*\)")
"""What pymongo adds to its messages."""
PAGE_PROCESS = "pipeline_engine.domain.funnels.page_process"
PAGE_PATIENCE = 120.0
"""Seconds for one page; the processor time that it may use is far less, so only a stuck machine takes as long."""
PAGE_TWINS = 2
"""Processes for pages."""


@dataclass(frozen=True)
class App:
    """Every connection of this process and everything that speaks through one."""

    settings: Settings
    owner: str
    clock: Clock
    database: AsyncIOMotorDatabase[Document]
    server: Server
    changes: Changes
    heartbeat: Heartbeat
    redis: Redis
    queue: lanes.LaneQueue
    rate_limiter: lanes.RateLimiter
    storage: Storage
    sockets: Sockets
    tokens: ServiceTokens | None
    mailer: Mailer
    sms: Sms
    crm_api: CrmApi
    renderer: Renderer
    pages: ChildProcess
    accounts: Accounts
    templates: Templates
    suppressions: Suppressions
    imports: Imports
    chunks: ImportChunks
    deals: Deals
    stages: Stages
    csv_imports: CsvImports
    references: References
    automations: Automations
    automation_deals: AutomationDeals
    automation_logs: AutomationLogs
    automation_units: AutomationUnits
    funnels: Funnels
    funnel_steps: FunnelSteps
    components: StepComponents
    images: SitesImages
    forms: Forms
    support_tokens: SupportTokens
    users: Users
    effects: Effects
    written: Callable[[str], DerivedDocuments]
    events: Events
    job_store: MongoJobStore


@asynccontextmanager
async def open_app(settings: Settings, lane_prefix: str | None = None) -> AsyncIterator[App]:
    """Connect to everything; `lane_prefix` gives the lanes keys of their own, which then vanish within the hour.

    Raises: Unreachable naming the server, ConfigError naming the setting.
    """
    async with AsyncExitStack() as stack:
        if settings.fault_testing:
            failpoints.arm(settings.fault_plan, settings.fault_log)
            stack.callback(failpoints.disarm)
        database = await open_mongo(settings, stack)
        beats = await open_mongo(settings, stack, pool=2)
        clock, owner, server = Clock(), ids.daemon_id(), Server(database)
        clock.set(await server.now())
        redis = await open_redis(settings, stack)
        key = settings.app_secret.get_secret_value().encode() if settings.app_secret else await server.digest_key()
        queue = lanes.LaneQueue(
            redis,
            lanes.Codec(key),
            prefix=lane_prefix or settings.redis_prefix,
            ttl=3600 if lane_prefix else None,
        )
        tokens = _tokens(settings, clock)
        lease = Lease(owner, settings.lease_seconds)

        kept = timedelta(days=settings.automation_log_days)

        def collection(name: str) -> Collection:
            return Collection(database[name])

        yield App(
            settings=settings,
            owner=owner,
            clock=clock,
            database=database,
            server=server,
            changes=Changes(database, clock),
            heartbeat=Heartbeat(beats, lease, settings.heartbeat_seconds),
            redis=redis,
            queue=queue,
            rate_limiter=lanes.RateLimiter(redis, settings.redis_prefix),
            storage=await stack.enter_async_context(storage_of(settings)),
            sockets=await stack.enter_async_context(_sockets(settings, tokens)),
            tokens=tokens,
            mailer=await stack.enter_async_context(mailer_of(settings)),
            sms=await stack.enter_async_context(sms_of(settings)),
            crm_api=await stack.enter_async_context(CrmApi(settings.crm_api_url, tokens)),
            renderer=await stack.enter_async_context(Renderer()),
            pages=await stack.enter_async_context(ChildProcess(PAGE_PROCESS, PAGE_PATIENCE, PAGE_TWINS)),
            accounts=Accounts(collection("_accounts")),
            templates=Templates(collection("email_templates"), collection("sms_templates")),
            suppressions=Suppressions(collection("suppressions")),
            imports=Imports(collection("queues"), lease),
            chunks=ImportChunks(collection("import_chunks"), lease),
            deals=Deals(collection("deals")),
            stages=Stages(collection("pipeline_stages")),
            csv_imports=CsvImports(collection("csv_imports")),
            references=References(database),
            automations=Automations(collection("automations"), collection("_accounts"), lease),
            automation_deals=AutomationDeals(collection("deals")),
            automation_logs=AutomationLogs(collection("automation_logs"), clock, kept),
            automation_units=AutomationUnits(collection("automation_units"), clock),
            funnels=Funnels(collection("funnels"), lease),
            funnel_steps=FunnelSteps(collection("funnel.step"), lease),
            components=StepComponents(collection("funnel.step.components")),
            images=SitesImages(collection("sites_images")),
            forms=Forms(collection("forms")),
            support_tokens=SupportTokens(collection("support_tokens")),
            users=Users(collection("users")),
            effects=Effects(collection("effects"), clock),
            written=lambda name: DerivedDocuments(collection(name)),
            events=Events(collection("crm_events"), collection("outbox"), clock),
            job_store=MongoJobStore(database, clock),
        )


async def open_mongo(
    settings: Settings, stack: AsyncExitStack, pool: int | None = None
) -> AsyncIOMotorDatabase[Document]:
    """A database that answers; closed with the stack. Raises: as `open_app`."""
    try:
        client = connect(
            settings.mongo_url, timeout=settings.mongo_timeout, workers=settings.motor_max_workers, pool=pool
        )
    except (InvalidURI, ConfigurationError) as error:
        raise ConfigError(f"MONGO_URL: given (not shown): {error}") from None
    stack.callback(client.close)
    try:
        with pymongo.timeout(PATIENCE):
            await client.admin.command("ping")
    except OperationFailure as error:
        reason = f"MongoDB refuses the connection: {_refusal(error)}: correct the user, the password or their rights"
        raise ConfigError(f"MONGO_URL: {reason}") from None
    except PyMongoError as error:
        raise Unreachable(f"MongoDB at MONGO_URL {_no_answer(error)}: start it or correct MONGO_URL") from None
    return client[settings.database]


async def open_redis(settings: Settings, stack: AsyncExitStack) -> Redis:
    """A Redis that answers; closed with the stack. Raises: as `open_app`."""
    redis = lanes.connect(settings.redis)
    stack.push_async_callback(redis.aclose)
    try:
        async with asyncio.timeout(PATIENCE):
            await redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        raise Unreachable(f"Redis at REDIS_URL {_no_answer(error)}: start it or correct REDIS_URL") from None
    return redis


def _refusal(error: OperationFailure) -> str:
    return str((error.details or {}).get("errmsg") or error.code)


def _no_answer(error: BaseException) -> str:
    return f"does not answer within {PATIENCE:g} s: {reason_of(error)}"


def reason_of(error: BaseException) -> str:
    """What a client library says of a failure, on one line, without pymongo's time-outs and dump of the topology."""
    line = (str(error) or type(error).__name__).splitlines()[0]
    return TIMEOUTS.sub("", line.partition(", Timeout: ")[0].partition(", Topology Description: ")[0])[:200].rstrip(".")


def storage_of(settings: Settings) -> Storage:
    """The bucket that the settings name; connects when it is entered."""
    secret = settings.s3_secret_access_key
    return Storage(
        endpoint=settings.s3_endpoint_url,
        region=settings.s3_region,
        key_id=settings.s3_access_key_id,
        secret=secret.get_secret_value() if secret else None,
        bucket=settings.s3_bucket,
    )


def _tokens(settings: Settings, clock: Clock) -> ServiceTokens | None:
    if not settings.app_secret:
        return None
    rules = Rules(settings.token_issuer, settings.token_audience, settings.token_max_lifetime)
    return ServiceTokens(settings.app_secret.get_secret_value(), clock, rules)


def _sockets(settings: Settings, tokens: ServiceTokens | None) -> Sockets:
    if settings.socket_url is None:
        return LoggedSockets()
    if tokens is None:
        raise ConfigError("APP_SECRET: not given: needed because SOCKET_URL is set and its service wants a token")
    return SocketService(settings.socket_url, settings.socket_path, tokens)


def mailer_of(settings: Settings) -> Mailer:
    return Mailer(settings.smtp_url.get_secret_value() if settings.smtp_url else None, settings.smtp_from)


def sms_of(settings: Settings) -> Sms:
    token = settings.twilio_auth_token
    return Sms(
        settings.twilio_account_sid,
        token.get_secret_value() if token else None,
        settings.twilio_from,
        settings.twilio_base_url,
    )
