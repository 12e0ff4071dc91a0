"""J.P. Morgan Consumer Profile Management, emulated."""

from app.sandbox.jpmorgan.emulator import JpMorganEmulator

__all__ = ["JpMorganEmulator"]
