"""Partner apps and the documents that they published."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """A key's hash (keyed, made by the caller). It is valid until `expires_at`, for ever when that is None."""

    key_hash: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A partner app. It sees the customers granted to it, or all of them. `keys` are those that are valid now."""

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
    """A published document; live while `retired_at` is None. `version` is the client's publication that brought it."""

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
    """What a publication did: ids that are new (or live again), that were live with the same text, that it retired."""

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
