"""Fixtures of the unit tests."""

from tests.support.writing import bench  # noqa: F401
