"""Values that nobody changes, at the price of those that somebody might.

For what is made for every method of every wallet that is read: a dataclass that refuses assignment also makes itself
through a call per field, which takes three times as long.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:

    def value(*, frozen: bool, **options: Any) -> Any:
        """A dataclass that is compared and hashed as a frozen one; that it is `frozen`, the type checker enforces."""
        return dataclass(unsafe_hash=frozen, **options)


__all__ = ["value"]
