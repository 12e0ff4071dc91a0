"""Webhook endpoints: where events are sent, for whom, and whether that works."""

from datetime import datetime, timedelta
from typing import Final

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.errors import ClientUnknown
from app.store.events import append_event, last_event_id
from app.store.outbox import Transaction
from app.store.records import DisabledReason, EndpointRecord, EventType, NewEndpoint, NewEvent
from app.store.statements import Json, Query, Statement
from app.store.text import is_storable, storable

_GATEWAY: Final = "gateway"
_CLIENT: Final = Query(str, "SELECT name FROM clients WHERE tenant = :tenant AND name = :client")
_ADD: Final = Query(
    EndpointRecord,
    "INSERT INTO endpoints (tenant, id, client, url, types, secret, secret_key, created_at, starts_after)"
    " VALUES (:tenant, :id, :client, :url, :types, :secret, :secret_key, :now, :starts_after) RETURNING {columns}",
)
_ALL: Final = Query(EndpointRecord, "SELECT {columns} FROM endpoints WHERE tenant = :tenant ORDER BY id")
_BY_ID: Final = Query(EndpointRecord, "SELECT {columns} FROM endpoints WHERE tenant = :tenant AND id = :id")
_REMOVE: Final = Statement("DELETE FROM endpoints WHERE tenant = :tenant AND id = :id")
_ENABLE: Final = Query(
    EndpointRecord,
    "UPDATE endpoints SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL,"
    " starts_after = CASE WHEN disabled_at IS NULL THEN starts_after ELSE :starts_after END"
    " WHERE tenant = :tenant AND id = :id RETURNING {columns}",
)
_RESUME: Final = Statement(
    "UPDATE endpoints SET starts_after = :starts_after WHERE tenant = :tenant AND client = :client"
)
_DISABLE: Final = Query(
    EndpointRecord,
    "UPDATE endpoints SET disabled_at = :now, disabled_reason = :reason"
    " WHERE tenant = :tenant AND id = :id AND disabled_at IS NULL RETURNING {columns}",
)
_PAUSE: Final = Statement(
    "UPDATE endpoints SET disabled_at = COALESCE(disabled_at, :now), disabled_reason = 'OPERATOR'"
    " WHERE tenant = :tenant AND id = :id AND (disabled_reason IS NULL OR disabled_reason <> 'OPERATOR')"
)
_ROTATE: Final = Query(
    EndpointRecord,
    "UPDATE endpoints SET secret = :secret, secret_key = :secret_key, old_secret = :old_secret,"
    " old_secret_until = :old_until WHERE tenant = :tenant AND id = :id RETURNING {columns}",
)
_RESEAL: Final = Statement(
    "UPDATE endpoints SET secret = :secret, secret_key = :secret_key, old_secret = :old_secret"
    " WHERE tenant = :tenant AND id = :id AND secret = :expected"
)
_WORKED: Final = Statement(
    "UPDATE endpoints SET failing_since = NULL WHERE tenant = :tenant AND id = :id AND failing_since IS NOT NULL"
)
_FAILED: Final = Query(
    EndpointRecord,
    "UPDATE endpoints SET failing_since = COALESCE(failing_since, :now) WHERE tenant = :tenant AND id = :id"
    " RETURNING {columns}",
)


def add_endpoint(tx: Transaction, new: NewEndpoint) -> EndpointRecord:
    """Events from now on are delivered to it. Raises ClientUnknown."""
    storable(new.url, new.client)
    if new.client is not None and tx.one(_CLIENT, client=new.client) is None:
        raise ClientUnknown("no such client")
    added = tx.one(
        _ADD,
        id=new.id,
        client=new.client,
        url=new.url,
        types=Json(sorted(new.types)),
        secret=new.secret,
        secret_key=new.secret_key,
        now=tx.now(),
        starts_after=last_event_id(tx),
    )
    assert added is not None
    return added


def all_endpoints(db: Connection) -> list[EndpointRecord]:
    """Including disabled ones."""
    return db.all(_ALL)


def find_endpoint(db: Connection, endpoint_id: str) -> EndpointRecord | None:
    return db.one(_BY_ID, id=endpoint_id) if is_storable(endpoint_id) else None


def remove_endpoint(tx: Transaction, endpoint_id: str) -> bool:
    """Delete it with its deliveries; False if there is none."""
    return tx.count(_REMOVE, id=endpoint_id) == 1


def enable_endpoint(tx: Transaction, endpoint_id: str) -> EndpointRecord | None:
    """What is PENDING is delivered, and events from now on: none of the time when it was disabled."""
    return tx.one(_ENABLE, id=endpoint_id, starts_after=last_event_id(tx))


def resume_endpoints(tx: Transaction, client: str) -> None:
    """Its partner is enabled again: as `enable_endpoint`."""
    tx.execute(_RESUME, client=client, starts_after=last_event_id(tx))


def pause_endpoint(tx: Transaction, endpoint_id: str) -> bool:
    """An operator disables it, or confirms that it is disabled; False if that is so already, or it is unknown."""
    return tx.count(_PAUSE, id=endpoint_id, now=tx.now()) == 1


def disable_endpoint(tx: Transaction, endpoint_id: str, reason: DisabledReason) -> bool:
    """Keep what is PENDING, and deliver nothing; False if it is disabled already, or unknown."""
    disabled = tx.one(_DISABLE, id=endpoint_id, now=tx.now(), reason=reason)
    if disabled is not None:
        # Under a type that the version before knows, whose feed reads it too.
        detail = {"command": "endpoints disable", "endpoint": endpoint_id, "partner": disabled.client}
        event = NewEvent(type=EventType.OPERATOR_COMMAND, actor=_GATEWAY, outcome=reason.value, detail=detail)
        append_event(tx, event)
    return disabled is not None


def rotate_endpoint_secret(
    tx: Transaction,
    endpoint_id: str,
    *,
    secret: str,
    secret_key: str,
    old_secret: str | None,
    old_until: datetime | None,
) -> EndpointRecord | None:
    """All of them encrypted under the key of this name. Deliveries are signed with both until `old_until`."""
    return tx.one(
        _ROTATE, id=endpoint_id, secret=secret, secret_key=secret_key, old_secret=old_secret, old_until=old_until
    )


def reseal_endpoint_secret(
    tx: Transaction, before: EndpointRecord, *, secret: str, old_secret: str | None, secret_key: str
) -> bool:
    """Store the same secrets encrypted under another key; False if they were changed meanwhile."""
    values = {"secret": secret, "old_secret": old_secret, "secret_key": secret_key}
    return tx.count(_RESEAL, id=before.id, expected=before.secret, **values) == 1


def note_success(tx: Transaction, endpoint_id: str) -> None:
    tx.execute(_WORKED, id=endpoint_id)


def note_failure(tx: Transaction, endpoint_id: str, disable_after: timedelta | None) -> bool:
    """True if it is disabled now, because there were only failures for `disable_after`.

    None: nothing was sent, so the failure does not count.
    """
    if disable_after is None:
        return False
    found = tx.one(_FAILED, id=endpoint_id, now=tx.now())
    if found is None or found.failing_since is None or tx.now() - found.failing_since < disable_after:
        return False
    return disable_endpoint(tx, endpoint_id, DisabledReason.FAILING)


class Endpoints(Repository):
    """Endpoints are read for each delivery, so a change takes effect at once in every process."""

    add = WriteMethod(add_endpoint)
    all = ReadMethod(all_endpoints)
    endpoint = ReadMethod(find_endpoint)
    remove = WriteMethod(remove_endpoint)
    enable = WriteMethod(enable_endpoint)
    pause = WriteMethod(pause_endpoint)
    rotate = WriteMethod(rotate_endpoint_secret)
    reseal = WriteMethod(reseal_endpoint_secret)
