"""The writing half of the suite."""

from app.testing.writing import *  # noqa: F403
