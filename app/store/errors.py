"""What the store refuses. No message quotes a value."""

from typing import Final

from app.errors import StoreUnavailable as StoreUnavailable
from app.errors import VaultgraphError
from app.store.records import LinkConflictReason


class StoreError(VaultgraphError):
    """The store refused; nothing was written."""


RETRY_STORE_S: Final = 1.0
"""How long background work waits before it asks a store again that was unavailable."""


class CustomerUnknown(StoreError):
    """No such customer, or one that was erased."""


class ExternalIdTaken(StoreError):
    """Another customer has this external id; `customer_id` names it."""

    def __init__(self, customer_id: str) -> None:
        super().__init__("another customer has this external id")
        self.customer_id = customer_id


class LinkConflict(StoreError):
    """The link would give a vault's customer two owners, or our customer two records at one vault."""

    def __init__(self, reason: LinkConflictReason, customer_id: str) -> None:
        super().__init__(f"the link conflicts with another ({reason.value})")
        self.reason = reason
        self.customer_id = customer_id


class UnstorableText(StoreError, ValueError):
    """A text holds a NUL or half of a surrogate pair, which PostgreSQL cannot store."""


class LockTimeout(StoreError):
    """Others kept the lock for longer than we were ready to wait."""


class ClientExists(StoreError):
    """A partner of this name is there already."""


class ClientUnknown(StoreError):
    """No such partner."""


class DocumentChanged(StoreError):
    """A live document of this id has another text; `document_ids` names all such."""

    def __init__(self, document_ids: tuple[str, ...]) -> None:
        super().__init__("a published document id cannot get another text without replacing the whole set")
        self.document_ids = document_ids


class ImportChanged(StoreError):
    """This import was begun with other content."""
