"""What Prometheus sees at `/metrics`, read by its own parser."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from aiohttp import ClientSession
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

PREFIX = "pipeline_engine_"


@dataclass(frozen=True)
class Scrape:
    """One answer. Names are given without `pipeline_engine_`."""

    text: str

    @cached_property
    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.text))

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """{values of the labels, in the order of their names: value}; empty where the figure is left out."""
        found = [one for family in self.families for one in family.samples if one.name == PREFIX + name]
        return {tuple(value for _, value in sorted(one.labels.items())): one.value for one in found}

    def value(self, name: str, *labels: str) -> float | None:
        return self.samples(name).get(labels)


async def scrape(address: str) -> Scrape:
    async with ClientSession() as session, session.get(f"{address}/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return Scrape(await response.text())
