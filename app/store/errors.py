"""Errors of the store. No message contains a stored value."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.errors import StoreUnavailable as StoreUnavailable
from app.errors import VaultgraphError
from app.store.records import LinkConflictReason


class StoreError(VaultgraphError):
    """Base class: the store rejected the call; nothing was written."""


RETRY_STORE_S: Final = 1.0
"""Delay before background work retries an unavailable store."""


@contextmanager
def logged(log: logging.Logger, message: str, *args: object) -> Iterator[None]:
    """For background work, which goes on after a failure: a bug is logged. An unavailable store is logged elsewhere."""
    try:
        yield
    except StoreUnavailable:
        pass
    except Exception:
        log.exception(message, *args)


class StatementFailed(StoreError):
    """The database does not accept a statement: a bug, or a schema of another version.

    `cause` is the class name of the driver's exception.
    """

    def __init__(self, cause: str, reason: str = "") -> None:
        super().__init__(f"{cause}: {reason}" if reason else cause)
        self.cause = cause


class ConstraintViolated(StatementFailed):
    """A row conflicts with another."""


class SchemaDiffers(StoreError):
    """The database has the schema of another version; `found` is its revision, None for an empty database."""

    def __init__(self, found: str | None, needed: str, remedy: str, *, is_newer: bool = False) -> None:
        has = f"the store's schema is {found}" if found else "the store has no schema"
        super().__init__(f"{has}, this version needs {needed}: {remedy}")
        self.found = found
        self.is_newer = is_newer


class CustomerUnknown(StoreError):
    """The customer does not exist or was erased."""


class ExternalIdTaken(StoreError):
    """Another customer, `customer_id`, has this external id."""

    def __init__(self, customer_id: str) -> None:
        super().__init__("another customer has this external id")
        self.customer_id = customer_id


class LinkConflict(StoreError):
    """The vault customer is linked to another customer, or the customer is linked to another record at that vault."""

    def __init__(self, reason: LinkConflictReason, customer_id: str) -> None:
        super().__init__(f"the link conflicts with another ({reason.value})")
        self.reason = reason
        self.customer_id = customer_id


class UnstorableText(StoreError, ValueError):
    """A text contains NUL or a lone surrogate, which PostgreSQL cannot store."""


class LockTimeout(StoreError):
    """The lock was not acquired in time."""


class ClientExists(StoreError):
    """A client with this name exists."""


class ClientUnknown(StoreError):
    """The client does not exist."""


class DocumentChanged(StoreError):
    """Live documents have another text; `document_ids` lists them."""

    def __init__(self, document_ids: tuple[str, ...]) -> None:
        super().__init__("a published document id cannot get another text without replacing the whole set")
        self.document_ids = document_ids


class ImportChanged(StoreError):
    """The import was started with different content."""
