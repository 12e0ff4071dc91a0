"""The reading half of the suite."""

from app.testing.reading import *  # noqa: F403
