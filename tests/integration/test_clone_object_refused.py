"""An object that S3 refuses to copy: its reference is emptied with a warning, unless the bucket itself refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import unquote

import pytest
from aiohttp import web

from tests.integration.conftest import RunClones
from tests.support.funnels import Original, assert_whole, components_of, funnel_of, images_of, new_clone, steps_of
from tests.support.s3_gateway import S3Gateway
from tests.support.world import World

REFUSALS = [
    (403, "InvalidObjectState", "The operation is not valid for the object's storage class"),
    (403, "AccessDenied", "Access Denied"),
    (400, "KMS.DisabledException", "The key is disabled."),
    (400, "InvalidRequest", "The specified copy source is larger than the maximum allowable size: 5368709120"),
]


class Refusing(S3Gateway):
    """Refuses copies of one key, and every write when `closed`."""

    key = ""
    refusal = REFUSALS[0]
    closed = False

    async def _answer(self, request: web.Request) -> web.Response:
        source = unquote(request.headers.get("x-amz-copy-source", ""))
        if (source and source.endswith(self.key)) or (self.closed and request.method == "PUT"):
            status, code, message = self.refusal
            text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            return web.Response(status=status, text=text, content_type="application/xml")
        return await super()._answer(request)


@pytest.fixture
async def s3(servers: dict[str, str]) -> AsyncIterator[Refusing]:
    async with Refusing(servers["S3_ENDPOINT_URL"]) as s3:
        yield s3


@pytest.mark.parametrize("refusal", REFUSALS, ids=[code for _, code, _ in REFUSALS])
async def test_a_refused_object_is_emptied_and_the_clone_completes(
    world: World, run_clones: RunClones, s3: Refusing, refusal: tuple[int, str, str]
) -> None:
    original = Original(world, steps=2)
    refused = s3.key = original.image("archived.png", b"frozen")
    s3.refusal = refusal
    original.write(0, original.page(0) + f'<img src="/f/{refused}">')
    clone = new_clone(world, original)

    result = await run_clones(s3_endpoint_url=s3.url)

    assert result.succeeded == 1
    assert_whole(world, clone, original)
    step, _ = steps_of(world, clone)
    assert '<img src="">' in step["raw_html"]
    assert any(refused in error for error in components_of(world, step)["errors"])
    assert any(refused in warning for warning in funnel_of(world, clone)["clone"]["warnings"])
    assert refused not in images_of(world, clone)


async def test_a_bucket_that_takes_nothing_fails_the_clone(world: World, run_clones: RunClones, s3: Refusing) -> None:
    original = Original(world, steps=1)
    s3.refusal, s3.closed = REFUSALS[1], True
    clone = new_clone(world, original)

    result = await run_clones(s3_endpoint_url=s3.url, clone_runs=1)

    assert result.failed == 1
    assert "denies access to the bucket" in funnel_of(world, clone)["clone"]["error"]
