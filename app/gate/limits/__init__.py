"""Limits and cost of requests: measured once per document, priced before execution. `docs/limits.md`."""

from app.gate.limits.limiter import Estimate, Limiter
from app.gate.limits.rules import Limits

__all__ = ["Estimate", "Limiter", "Limits"]
