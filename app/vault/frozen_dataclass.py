"""Dataclasses that are frozen for the type checker only.

Creating a frozen dataclass takes three times as long, because each field is set through a call. Used for objects that
are created for every payment method of every wallet.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:

    def value(*, frozen: bool, **options: Any) -> Any:
        """A dataclass compared and hashed like a frozen one; only the type checker enforces `frozen`."""
        return dataclass(unsafe_hash=frozen, **options)


__all__ = ["value"]
