"""Connects to MongoDB. All options of its connections stand here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bson import Code
from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorClient

Document = dict[str, Any]

# A Code is a text to Python, but one without a hash: whatever looks something up by what a document holds would fail.
Code.__hash__ = str.__hash__  # type: ignore[assignment, method-assign]

# What a call raises when the server, not the request, is at fault. The request may or may not have been carried out.
SERVER_AWAY = (ConnectionFailure, ExecutionTimeout, NetworkTimeout, ServerSelectionTimeoutError, WTimeoutError)


def is_away(error: BaseException) -> bool:
    """Whether the error says that MongoDB did not answer in time or not as a primary."""
    return isinstance(error, SERVER_AWAY) or (isinstance(error, PyMongoError) and error.timeout)


def connect(url: str, *, timeout: float, workers: int, pool: int | None = None) -> AsyncIOMotorClient[Document]:
    """A client whose writes are journaled on a majority before they count, and whose calls end within `timeout`
    seconds.

    `workers` bounds motor's threads for the whole process. The pool is smaller, so that a call that has to wait waits
    for a connection, which counts as its time, and not for a thread, which does not.
    """
    # motor reads this once, when it is imported; hence the late import.
    os.environ.setdefault("MOTOR_MAX_WORKERS", str(workers))
    from motor.motor_asyncio import AsyncIOMotorClient

    return AsyncIOMotorClient(
        url,
        tz_aware=True,
        # Whatever a document holds can be read: a date outside the years 1 to 9999 is returned as DatetimeMS, and what
        # is no UTF-8 with replacement characters.
        datetime_conversion="DATETIME_AUTO",
        unicode_decode_error_handler="replace",
        w="majority",
        journal=True,
        retryWrites=True,
        retryReads=True,
        timeoutMS=round(timeout * 1000),
        maxPoolSize=pool or max(4, workers - 16),
        appname="pipeline_engine",
    )
