"""NCR Aloha Online Ordering emulator."""

from app.sandbox.aloha.emulator import AlohaEmulator

__all__ = ["AlohaEmulator"]
