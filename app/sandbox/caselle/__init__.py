"""Caselle's Payment API, emulated."""

from app.sandbox.caselle.emulator import CaselleEmulator

__all__ = ["CaselleEmulator"]
