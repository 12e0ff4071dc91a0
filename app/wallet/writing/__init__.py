"""The writing side: one mutation, journalled before its vault is called, applied once or reported as unknown."""

from app.wallet.writing.deps import Deps
from app.wallet.writing.owner import Owner
from app.wallet.writing.writer import WalletWriter

__all__ = ["Deps", "Owner", "WalletWriter"]
