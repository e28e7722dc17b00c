"""Opens and closes every connection of the process, as the settings say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeAlias

import pymongo
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from typing_extensions import TypeVar

from pipeline_engine import failpoints, ids, lanes
from pipeline_engine.clock import Clock
from pipeline_engine.errors import ConfigError, Unreachable
from pipeline_engine.providers.child_process import ChildProcess
from pipeline_engine.providers.from_settings import sockets_of, storage_of, tokens_of
from pipeline_engine.providers.integrations import Integrations, open_integrations
from pipeline_engine.providers.renderer import Renderer
from pipeline_engine.providers.senders import Senders, open_senders
from pipeline_engine.providers.sockets import Sockets
from pipeline_engine.providers.storage import Storage
from pipeline_engine.providers.tokens import ServiceTokens
from pipeline_engine.repos.changes import Changes
from pipeline_engine.repos.client import Document, connect
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.heartbeat import Heartbeat
from pipeline_engine.repos.lease import Lease
from pipeline_engine.repos.server import Server
from pipeline_engine.repos.shared_repos import SharedRepos
from pipeline_engine.repos.store import Store
from pipeline_engine.settings import Settings

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

FIRST_ANSWER_TIMEOUT = 5.0
"""Seconds for a server's first answer."""
PYMONGO_TIMEOUTS = re.compile(r" \(configured timeouts: [^)]*\)")
"""A part of pymongo's messages that says nothing to an operator."""
PAGE_PROCESS = "pipeline_engine.domain.funnels.page_process"
PAGE_TIMEOUT = 120.0
"""Seconds for one page. Its limit of processor time is far lower, so only a stalled machine takes this long."""
PAGE_PROCESSES = 2

Repos = TypeVar("Repos", covariant=True, default=object)
Bundle = TypeVar("Bundle")
Specs: TypeAlias = Sequence[CollectionSpec]


@dataclass(frozen=True)
class App(Generic[Repos]):
    """Every connection of this process and the repos of one system: imports take an `App[ImportRepos]`."""

    store: Store
    collections: Specs
    """The collections of the systems that are switched on, and those that systems share."""
    server: Server
    changes: Changes
    heartbeat: Heartbeat
    redis: Redis
    queue: lanes.LaneQueue
    rate_limiter: lanes.RateLimiter
    stopping: asyncio.Event
    """Set when the process begins to stop, so that long runs release their document."""
    storage: Storage
    sockets: Sockets
    tokens: ServiceTokens | None
    senders: Senders
    integrations: Integrations
    renderer: Renderer
    pages: ChildProcess
    shared: SharedRepos
    recipients_key: bytes
    """Keys the links to unsubscribe and the hashes of suppressed addresses."""
    repos: Repos

    @property
    def settings(self) -> Settings:
        return self.store.settings

    @property
    def clock(self) -> Clock:
        return self.store.clock

    @property
    def owner(self) -> str:
        """The name under which this process claims."""
        return self.store.lease.owner

    @property
    def database(self) -> AsyncIOMotorDatabase[Document]:
        return self.store.database

    def with_repos(self, open_bundle: Callable[[Store], Bundle]) -> App[Bundle]:
        """An app with the same connections and a system's repos: `app.with_repos(ImportRepos.open)`."""
        return replace(self, repos=open_bundle(self.store))  # type: ignore[return-value, arg-type]


def _arm_failpoints(settings: Settings, stack: AsyncExitStack) -> None:
    if settings.fault_testing:
        failpoints.arm(settings.fault_plan, settings.fault_log)
        stack.callback(failpoints.disarm)


@asynccontextmanager
async def connect_app(settings: Settings, collections: Specs, lane_prefix: str | None = None) -> AsyncIterator[App]:
    """Open every connection; with `lane_prefix` the lanes have keys of their own, which expire within an hour.

    Raises: Unreachable naming the server, ConfigError naming the setting.
    """
    async with AsyncExitStack() as stack:
        _arm_failpoints(settings, stack)
        database, heartbeat_database = await open_mongo(settings, stack), await open_mongo(settings, stack, pool=2)
        clock, server = Clock(), Server(database)
        await clock.follow(server.now)
        redis = await open_redis(settings, stack)
        store = Store(database, Lease(ids.daemon_id(), settings.lease_seconds), clock, settings)
        tokens = tokens_of(settings, clock)
        yield App(
            store=store,
            collections=collections,
            server=server,
            changes=Changes(database, clock, collections),
            heartbeat=Heartbeat(heartbeat_database, store.lease, settings.heartbeat_seconds, collections),
            redis=redis,
            queue=_queue(redis, await _digest_key(settings, server), settings, lane_prefix),
            rate_limiter=lanes.RateLimiter(redis, settings.redis_prefix),
            stopping=asyncio.Event(),
            storage=await stack.enter_async_context(storage_of(settings)),
            sockets=await stack.enter_async_context(sockets_of(settings, tokens)),
            tokens=tokens,
            senders=await stack.enter_async_context(open_senders(settings, tokens)),
            integrations=await stack.enter_async_context(open_integrations(settings, clock)),
            renderer=await stack.enter_async_context(Renderer()),
            pages=await stack.enter_async_context(ChildProcess(PAGE_PROCESS, PAGE_TIMEOUT, PAGE_PROCESSES)),
            shared=SharedRepos.open(store),
            recipients_key=await server.recipients_key(),
            repos=None,
        )


async def _digest_key(settings: Settings, server: Server) -> bytes:
    secret = settings.app_secret
    return secret.get_secret_value().encode() if secret else await server.digest_key()


def _queue(redis: Redis, key: bytes, settings: Settings, lane_prefix: str | None) -> lanes.LaneQueue:
    prefix, ttl = (lane_prefix, 3600) if lane_prefix else (settings.redis_prefix, None)
    return lanes.LaneQueue(redis, lanes.Codec(key), prefix=prefix, ttl=ttl)


async def open_mongo(
    settings: Settings, stack: AsyncExitStack, pool: int | None = None
) -> AsyncIOMotorDatabase[Document]:
    """A database whose server has answered; `stack` closes it. Raises: as `connect_app`."""
    try:
        client = connect(
            settings.mongo_url, timeout=settings.mongo_timeout, workers=settings.motor_max_workers, pool=pool
        )
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise ConfigError(f"MONGO_URL: given (not shown): {error}") from None
    stack.callback(client.close)
    try:
        with pymongo.timeout(FIRST_ANSWER_TIMEOUT):
            await client.admin.command("ping")
    except OperationFailure as error:
        refusal = (error.details or {}).get("errmsg") or error.code
        reason = f"MongoDB refuses the connection: {refusal}: correct the user, the password or their rights"
        raise ConfigError(f"MONGO_URL: {reason}") from None
    except PyMongoError as error:
        raise Unreachable(f"MongoDB at MONGO_URL {_no_answer(error)}: start it or correct MONGO_URL") from None
    return client[settings.database]


async def open_redis(settings: Settings, stack: AsyncExitStack) -> Redis:
    """A Redis that has answered; `stack` closes it. Raises: as `connect_app`."""
    redis = lanes.connect(settings.redis)
    stack.push_async_callback(redis.aclose)
    try:
        async with asyncio.timeout(FIRST_ANSWER_TIMEOUT):
            await redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        away = Unreachable(f"Redis at REDIS_URL {_no_answer(error)}: start it or correct REDIS_URL")
        raise lanes.refusal(error) or away from None
    return redis


def _no_answer(error: BaseException) -> str:
    return f"does not answer within {FIRST_ANSWER_TIMEOUT:g} s: {reason_of(error)}"


def reason_of(error: BaseException) -> str:
    """The first line of an error's text, at most 200 characters, without pymongo's time-outs and topology dump."""
    line = (str(error) or type(error).__name__).splitlines()[0]
    reason = line.partition(", Timeout: ")[0].partition(", Topology Description: ")[0]
    return PYMONGO_TIMEOUTS.sub("", reason)[:200].rstrip(".")
