"""Limits and cost of requests: measured once per document, priced before execution. `docs/limits.md`."""

from app.api.limits.limiter import Estimate, Limiter
from app.api.limits.rules import Limits

__all__ = ["Estimate", "Limiter", "Limits"]
