"""What customers and methods are searched by, and where a page of them begins."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final, NamedTuple, Self

from app.store.records.directory import CustomerRecord
from app.vault.enums import ProviderName

BY_ID: Final = "id"
BY_GRANT: Final = "granted"


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerCriteria:
    """Conditions that must all hold. The case of letters is ignored in `email` and `name_contains`: on SQLite only that
    of ASCII letters. Those that leave the fewest customers come first.
    """

    email: str | None = None
    external_id_prefix: str | None = None
    created_after: datetime | None = None
    linked_at: ProviderName | None = None
    name_contains: str | None = None

    @property
    def given(self) -> tuple[str, ...]:
        return tuple(one.name for one in fields(self) if getattr(self, one.name) is not None)

    def walk(self, *, is_restricted: bool) -> str:
        """The order in which the customers are examined: that of the first condition with an index, or of the ids.
        `is_restricted`: only certain customers are."""
        if is_restricted:
            return BY_GRANT
        return next((name for name in self.given if name != "name_contains"), BY_ID)


class CustomerPosition(NamedTuple):
    """A place in the order of one walk: the key of a customer there."""

    walk: str
    id: str
    external_id: str | None = None
    created_at: datetime | None = None

    @classmethod
    def of(cls, walk: str, record: CustomerRecord) -> Self:
        external_id = record.external_id if walk == "external_id_prefix" else None
        return cls(walk, record.id, external_id, record.created_at if walk == "created_after" else None)


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """`next` is where the next page begins, None at the end; it may be behind the last of `customers`."""

    walk: str
    customers: list[CustomerRecord]
    next: CustomerPosition | None


class ExpiryPosition(NamedTuple):
    """A place in the order of expiries (``YYYY-MM``); without refs before all methods of that month."""

    expiry: str
    provider: str = ""
    customer_ref: str = ""
    method_ref: str = ""
