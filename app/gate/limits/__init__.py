"""How much one request may ask: measured once per document, priced before anything runs. `docs/limits.md`."""

from app.gate.limits.limiter import Limiter
from app.gate.limits.rules import Limits

__all__ = ["Limiter", "Limits"]
