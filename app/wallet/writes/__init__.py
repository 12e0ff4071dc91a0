"""Write pipeline: each mutation is journalled before its vault is called, and applied once or reported as UNKNOWN."""

from app.wallet.writes.deps import Deps
from app.wallet.writes.lease import WorkerLease
from app.wallet.writes.writer import WalletWriter

__all__ = ["Deps", "WalletWriter", "WorkerLease"]
