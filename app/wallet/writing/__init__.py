"""Write pipeline: each mutation is journalled before its vault is called, and applied once or reported as UNKNOWN."""

from app.wallet.writing.deps import Deps
from app.wallet.writing.owner import Owner
from app.wallet.writing.writer import WalletWriter

__all__ = ["Deps", "Owner", "WalletWriter"]
