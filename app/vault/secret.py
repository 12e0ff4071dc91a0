"""A wrapper for tokens, card numbers and credentials that prevents accidental disclosure."""

import hmac
from collections.abc import Iterator


class Secret:
    """Holds one secret string. `str`, `repr` and formatting show ``[redacted]``; pickling and JSON fail.

    `reveal()` is the only access, so searching for it finds every use of a secret.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "[redacted]"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "[redacted]"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")


class Secrets:
    """Secrets of one purpose, for rotation: the first one encrypts or signs, each of them decrypts or verifies.

    Shows nothing, as `Secret`. True if there is at least one.
    """

    __slots__ = ("_all",)

    def __init__(self, *values: str) -> None:
        self._all = tuple(Secret(value) for value in values if value)

    @property
    def first(self) -> Secret:
        """Raises IndexError if there is none."""
        return self._all[0]

    def reveal(self) -> list[str]:
        return [one.reveal() for one in self._all]

    def __iter__(self) -> Iterator[Secret]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        return "[redacted]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and self._all == other._all

    def __hash__(self) -> int:
        return hash((Secrets, self._all))

    def __reduce__(self) -> str:
        raise TypeError("Secrets cannot be pickled")
