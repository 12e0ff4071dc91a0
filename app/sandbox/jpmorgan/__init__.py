"""J.P. Morgan Consumer Profile Management emulator."""

from app.sandbox.jpmorgan.emulator import JpMorganEmulator

__all__ = ["JpMorganEmulator"]
