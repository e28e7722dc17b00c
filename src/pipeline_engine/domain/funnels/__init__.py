"""Funnel cloning. A sweep finds funnels that are due; `plan` makes a clone's empty steps; `step` fills each of them."""
