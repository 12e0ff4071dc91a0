"""The reading half of the contract suite."""

from app.testing.reading import *  # noqa: F403
