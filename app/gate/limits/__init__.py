"""How much one request may ask: measured once per document, priced before anything runs. `docs/limits.md`."""

from app.gate.limits.limiter import Estimate, Limiter
from app.gate.limits.rules import Limits

__all__ = ["Estimate", "Limiter", "Limits"]
