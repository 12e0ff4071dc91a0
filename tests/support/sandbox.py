"""The sandbox server for tests, re-exported from the contract suite."""

from app.testing.sandbox import ControlError, Reply, RunningSandbox

__all__ = ["ControlError", "Reply", "RunningSandbox"]
