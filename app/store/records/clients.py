"""Partner apps and their published documents."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """A key's hash (keyed, computed by the caller). Valid until `expires_at`; None: no expiry.

    `id` names the key to people and never changes. `digest_key` is the name of the key of `key_hash`, None if a version
    before names stored it. `last_used_at` is exact to an hour.
    """

    id: str
    key_hash: str
    digest_key: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A partner app with access to granted customers or to all. `keys` are the currently valid ones."""

    name: str
    scopes: frozenset[str]
    sees_all_customers: bool
    created_at: datetime
    disabled_at: datetime | None
    keys: tuple[ClientKey, ...] = field(default=(), metadata={"is_stored": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """One of the gateway's own keys. `last_used_at`: of a key that is not the first of its list, exact to an hour."""

    purpose: str
    name: str
    known_since: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocument:
    """A document to publish. `sha256` is of the text as published; `cost` is counted in upstream calls. `for_agents`:
    agents may run it although it is a mutation.
    """

    document_id: str
    text: str
    sha256: str
    operation_kind: str
    operation_name: str | None = None
    cost: int = 0
    for_agents: bool = False


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
    for_agents: bool = False


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
