"""Keys of the chat plugin, one per domain. The preview domain is the platform's, so they belong to no account."""

from __future__ import annotations

from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

SUPPORT_TOKENS = CollectionSpec(
    "support_tokens",
    indexes=(index("domain"),),
)


class SupportTokens:
    def __init__(self, store: Store) -> None:
        self._all = store.collection(SUPPORT_TOKENS).everywhere

    async def of_domain(self, domain: str) -> str | None:
        """The key, None where there is none."""
        found = await self._all.find_one({"domain": domain}, projection=["token"])
        token = found and found.get("token")
        return token if isinstance(token, str) and token else None
