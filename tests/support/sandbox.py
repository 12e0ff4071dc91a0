"""The sandbox server for tests: it belongs to the contract suite, which packages outside use too."""

from app.testing.sandbox import ControlError, Reply, RunningSandbox

__all__ = ["ControlError", "Reply", "RunningSandbox"]
