"""The repos of funnel cloning."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.funnel_steps import FUNNEL_STEPS, FunnelSteps
from pipeline_engine.repos.funnels import FUNNELS, Funnels
from pipeline_engine.repos.page_assets import FORMS, SITES_IMAGES, SUPPORT_TOKENS, Forms, SitesImages, SupportTokens
from pipeline_engine.repos.step_components import STEP_COMPONENTS, StepComponents
from pipeline_engine.repos.store import Store

FUNNEL_COLLECTIONS: tuple[CollectionSpec, ...] = (
    FUNNELS,
    FUNNEL_STEPS,
    STEP_COMPONENTS,
    SITES_IMAGES,
    FORMS,
    SUPPORT_TOKENS,
)


@dataclass(frozen=True)
class FunnelRepos:
    """Funnels, their steps and pages, and what pages refer to."""

    funnels: Funnels
    funnel_steps: FunnelSteps
    components: StepComponents
    images: SitesImages
    forms: Forms
    support_tokens: SupportTokens

    @classmethod
    def open(cls, store: Store) -> FunnelRepos:
        return cls(
            funnels=Funnels(store),
            funnel_steps=FunnelSteps(store),
            components=StepComponents(store),
            images=SitesImages(store),
            forms=Forms(store),
            support_tokens=SupportTokens(store),
        )
