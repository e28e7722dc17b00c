"""The Lua scripts: loaded from the package, called by digest, loaded again after SCRIPT FLUSH or a restart."""

from __future__ import annotations

from hashlib import sha1
from importlib.resources import files
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from pipeline_engine import logs
from pipeline_engine.failpoints import failpoint
from pipeline_engine.lanes.connection import call_timeout

_pack = msgspec.msgpack.Encoder().encode
SET_ASIDE_MS = 7 * 86_400_000
WRONG_TYPE = "WRONGTYPE"

log = logs.get(__name__)

_FOLDER = files(__package__) / "scripts"


class Script:
    """One Lua script, with `lane.lua` in front of it."""

    def __init__(self, name: str) -> None:
        self._failpoint = f"redis.lanes.{name}"
        self._source = "\n".join((_FOLDER / part).read_text() for part in ("lane.lua", f"{name}.lua"))
        self._digest = sha1(self._source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, redis: Redis, keys: list[str], ask: dict[str, Any], *more: str | bytes) -> Any:
        """Run the script on the server. `ask` is the map that the head of its file describes.

        Bytes go into `more`, because Lua's msgpack has none. The answer is as redis-py returns it: integers, lists, and
        strings as bytes. Raises: TimeoutError after 10 s, in all; whether the script runs is unknown then.
        """
        async with call_timeout(), failpoint(self._failpoint):
            try:
                return await self._call(redis, keys, ask, more)
            except ResponseError as error:
                if WRONG_TYPE not in str(error) or not keys or not await set_aside(redis, keys[0]):
                    raise
                if "lost" in ask:  # the script broke off in the middle: what it had claimed goes back first
                    ask = {**ask, "lost": [*ask["lost"], ask["token"]]}
                return await self._call(redis, keys, ask, more)

    async def _call(self, redis: Redis, keys: list[str], ask: dict[str, Any], more: tuple[str | bytes, ...]) -> Any:
        return await self._evaluate(redis, (self._digest, len(keys), *keys, _pack(ask), *more))

    async def _evaluate(self, redis: Redis, call: tuple[str | int | bytes, ...]) -> Any:
        try:
            return await redis.execute_command("EVALSHA", *call)  # type: ignore[no-untyped-call]
        except NoScriptError:
            await redis.script_load(self._source)
            return await redis.execute_command("EVALSHA", *call)  # type: ignore[no-untyped-call]


_mend = Script("mend")


async def set_aside(redis: Redis, stem: str) -> bool:
    """Rename the keys of a lane that hold another type than the lanes write. Returns whether there was any.

    Jobs that stood in such a key are found again by the sweeps.
    """
    names = await _mend._evaluate(redis, (_mend._digest, 1, stem, _pack({"kept": SET_ASIDE_MS})))
    if names:
        log.error("lane.keys_set_aside", keys=[name.decode(errors="replace") for name in names], reason="wrong type")
    return bool(names)
