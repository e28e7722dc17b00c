"""The kinds of values that settings have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

Seconds = Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)]
CallSeconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=24_000, allow_inf_nan=False)]  # MongoDB holds the seconds of a TTL in 31 bits
Count = Annotated[int, Field(ge=1, le=2**53)]
Port = Annotated[int, Field(ge=1, le=65535)]
Unknown = Literal["resend", "park"]
