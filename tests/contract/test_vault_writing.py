"""The writing half of the contract suite."""

from app.testing.writing import *  # noqa: F403
