"""Every promise of `VaultProvider`, as far as Stripe's capabilities go."""

from app.testing.reading import *  # noqa: F403
from app.testing.writing import *  # noqa: F403
