"""Partner apps and their published documents."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """A key's hash (keyed, computed by the caller). Valid until `expires_at`; None: no expiry."""

    key_hash: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A partner app with access to granted customers or to all. `keys` are the currently valid ones."""

    name: str
    scopes: frozenset[str]
    sees_all_customers: bool
    created_at: datetime
    disabled_at: datetime | None
    keys: tuple[ClientKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocument:
    """A document to publish. `sha256` is of the text as published; `cost` is counted in upstream calls."""

    document_id: str
    text: str
    sha256: str
    operation_kind: str
    operation_name: str | None = None
    cost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRecord:
    """A published document; live while `retired_at` is None. `version` is the number of its publication."""

    client: str
    document_id: str
    text: str
    sha256: str
    operation_kind: str
    operation_name: str | None
    cost: int
    version: int
    published_at: datetime
    retired_at: datetime | None
    uses: int
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Publication:
    """The result of a publication: ids that were added (or revived), unchanged, and retired."""

    version: int
    added: tuple[str, ...]
    unchanged: tuple[str, ...]
    retired: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DocumentUse:
    client: str
    document_id: str
    uses: int
    last_used_at: datetime
