"""`redis+sentinel://` as text."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline_engine import settings
from pipeline_engine.lanes.sentinel import read_sentinel_url


@pytest.mark.covers("CL-02")
@pytest.mark.parametrize(
    ("url", "hosts", "name", "options"),
    [
        ("redis+sentinel://a/crm", (("a", 26379),), "crm", {}),
        ("redis+sentinel://a:1,b:2,c/crm/3", (("a", 1), ("b", 2), ("c", 26379)), "crm", {"db": 3}),
        ("redis+sentinel://:p%40ss%2F:w@a/crm/0", (("a", 26379),), "crm", {"password": "p@ss/:w"}),
        ("rediss+sentinel://u:p@a/crm", (("a", 26379),), "crm", {"username": "u", "password": "p", "ssl": True}),
        ("redis+sentinel://[::1]:7,[fe80::2]/crm", (("::1", 7), ("fe80::2", 26379)), "crm", {}),
    ],
)
def test_its_parts_are_read(url: str, hosts: object, name: str, options: dict[str, Any]) -> None:
    found = read_sentinel_url(url)
    assert found is not None
    assert (found.hosts, found.name, found.options) == (hosts, name, options)
    assert settings.load(_env_file=None, redis_url=url).redis == url


@pytest.mark.parametrize("url", ["redis://a/0", "rediss://a:1", "unix:///tmp/redis"])
def test_other_urls_are_left_to_redis(url: str) -> None:
    assert read_sentinel_url(url) is None


@pytest.mark.parametrize("rest", ["", "a", "a/", "/crm", "a/crm/x", "a:x/crm", ":1/crm", "a,/crm"])
def test_one_without_hosts_or_name_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"wanted|no HOST"):
        read_sentinel_url(f"redis+sentinel://{rest}")
