"""Exports a customer: what the gateway stores and what every linked vault says now, as one JSON document.

It contains no card or account number, no leading digits, no token, and no credential. Other people's names are left out
as well: of callers it says only of which kind they are. A vault that could not be read completely is named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, Final

from app.store import Store
from app.store.export import StoredCustomer, stored_customer
from app.store.records import (
    ChoiceRecord,
    EventRecord,
    LinkRecord,
    MethodAddress,
    OperationRecord,
    PaymentAttempt,
    PaymentRecord,
    ResultRow,
)
from app.vault.enums import CustomerRef, MethodRef, ProviderName, SourceState
from app.vault.model import Expiry, VaultProfile
from app.vault.pan import looks_like_card_number
from app.vault.provider import Call
from app.wallet.reads.reader import HARMLESS, IdMaker, SourceReading, WalletReader

FORMAT: Final = 1
"""Rises when a member of the document changes its meaning or ends; new members do not raise it."""
_WITHHELD: Final = "[withheld: it looks like a card number]"
_LEFT_OUT: Final = frozenset(
    {"provider", "customer_ref", "method_ref", "address_ref", "ref", "bin", "next_action", "reply"}
)
"""Fields of the model that are keys of a vault, digits of a number, or of use to a browser only."""
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerExport:
    """`sources` has a row for each linked vault; `missing` names those of which something is not in `document`."""

    customer_id: str
    exported_at: datetime
    format: int
    sources: tuple[SourceReading, ...]
    missing: tuple[ProviderName, ...]
    document: Json

    @property
    def is_complete(self) -> bool:
        return not self.missing


class CustomerExporter:
    """Reads the store and the vaults, without their caches."""

    def __init__(self, store: Store, reader: WalletReader, ids: IdMaker) -> None:
        self._store = store
        self._reader = reader
        self._ids = ids

    async def export(self, customer_id: str, call: Call, *, with_refs: bool = False) -> CustomerExport | None:
        """None if there is no such customer. `with_refs`: with the vaults' keys of the customer."""
        stored = await self._store.read(stored_customer, customer_id)
        if stored is None:
            return None
        links = {link.provider: link.customer_ref for link in stored.entry.links}
        found = await self._reader.read(links, list(links), call, force_fresh=True)
        sources = tuple(
            found.get(name) or SourceReading(provider=name, state=SourceState.DISABLED, message=_DISABLED)
            for name in links
        )
        missing = tuple(one.provider for one in sources if not _is_whole(one))
        now = self._store.now()
        return CustomerExport(
            customer_id=customer_id,
            exported_at=now,
            format=FORMAT,
            sources=sources,
            missing=missing,
            document={
                "format": FORMAT,
                "exportedAt": now.isoformat(),
                "isComplete": not missing,
                "missing": [name.name for name in missing],
                **self._gateway(stored, with_refs=with_refs),
                "vaults": [self._vault(one) for one in sources],
            },
        )

    # ---- what the gateway stores ---------------------------------------------------------------------------

    def _gateway(self, stored: StoredCustomer, *, with_refs: bool) -> Json:
        entry = stored.entry
        names = {**entry.nicknames, **entry.holder_names}
        return {
            "customer": _plain(entry.customer),
            "formerCustomers": [
                {"id": one.id, "externalId": one.external_id, "mergedAt": _plain(one.merged_at)}
                for one in stored.former
            ],
            "links": [_link(link, with_refs=with_refs) for link in entry.links],
            "linksSetAside": [
                {"provider": one.provider.name, "linkedAt": _plain(one.linked_at)} for one in stored.link_conflicts
            ],
            "chosenDefault": self._choice(entry.choice),
            "names": [
                {
                    "paymentMethodId": self._id(address),
                    "nickname": _plain(entry.nicknames.get(address)),
                    "holderName": _plain(entry.holder_names.get(address)),
                }
                for address in names
            ],
            "consents": [
                {"paymentMethodId": self._id(one.method), **_plain(one.consent), "recordedAt": _plain(one.recorded_at)}
                for one in stored.consents
            ],
            "observedPaymentMethods": [
                {
                    "paymentMethodId": self._id(MethodAddress(one.provider, one.customer_ref, one.method_ref)),
                    **{name: value for name, value in _plain(one).items() if name not in ("customerId", "etag")},
                }
                for one in stored.observed
            ],
            "movedPaymentMethods": [
                {
                    "from": self._id(one.old),
                    "to": self._id(one.new),
                    "askedAt": _plain(one.asked_at),
                    "doneAt": _plain(one.done_at),
                }
                for one in stored.moves
            ],
            "payments": [
                {
                    **self._payment(one),
                    "attempts": [self._payment(tried) for tried in stored.attempts if tried.payment_id == one.id],
                }
                for one in stored.payments
            ],
            "writes": [self._operation(one, rows) for one, rows in stored.operations],
            "events": [self._event(one) for one in stored.events],
            "partnersWithAccess": [
                {"partner": one.client, "grantedAt": _plain(one.granted_at)} for one in stored.grants
            ],
            "webhooksSent": [{"endpoint": one.endpoint_id, "events": one.events} for one in stored.webhooks],
        }

    def _choice(self, choice: ChoiceRecord | None) -> Json | None:
        if choice is None:
            return None
        return {
            "paymentMethodId": self._id(choice.address),
            "isExplicit": not choice.is_kept,
            "allowExpired": choice.allow_expired,
            "setAt": _plain(choice.set_at),
            "setBy": _kind_of(choice.set_by),
        }

    def _payment(self, one: PaymentRecord | PaymentAttempt) -> Json:
        return {
            "paymentMethodId": self._id(one.method),
            "provider": one.method.provider.name,
            **{name: value for name, value in _plain(one).items() if name not in _NOT_OF_PAYMENTS},
        }

    def _operation(self, one: OperationRecord, rows: tuple[ResultRow, ...]) -> Json:
        return {
            "id": one.id,
            "mutation": one.mutation,
            "state": one.state.value,
            "by": _kind_of(one.caller),
            "createdAt": _plain(one.created_at),
            "finishedAt": _plain(one.finished_at),
            "results": [
                {"provider": row.provider.name, "state": row.state.value, "outcome": row.outcome.value} for row in rows
            ],
        }

    def _event(self, one: EventRecord) -> Json:
        method = None
        if one.provider and one.customer_ref is not None and one.method_ref is not None:
            method = self._id(MethodAddress(one.provider, one.customer_ref, one.method_ref))
        return {
            "id": one.id,
            "type": one.type.value,
            "occurredAt": _plain(one.occurred_at),
            "origin": one.origin.value,
            "provider": one.provider.name if one.provider else None,
            "paymentMethodId": method,
            "by": _kind_of(one.actor),
            "outcome": one.outcome,
            "detail": _plain(one.detail),
        }

    # ---- what the vaults say ---------------------------------------------------------------------------------

    def _vault(self, one: SourceReading) -> Json:
        head = {
            "provider": one.provider.name,
            "state": one.state.value,
            "isComplete": _is_whole(one),
            "message": one.message,
            "asOf": _plain(one.fetched_at),
            "unreadableRecords": one.skipped_count,
            "truncated": one.truncated,
        }
        if one.wallet is None or one.cached is None:
            return {**head, "paymentMethods": [] if one.state in HARMLESS and _is_whole(one) else None, "profile": None}
        methods = [
            {"id": known.id, "kind": known.method.kind.value, **_plain(known.method)} for known in one.cached.methods
        ]
        return {**head, "paymentMethods": methods, "profile": _profile(one.wallet.profile)}

    def _id(self, address: MethodAddress) -> str | None:
        try:
            return self._ids.encode(address.provider, CustomerRef(address.customer_ref), MethodRef(address.method_ref))
        except ValueError:  # a ref too long for an id
            return None


_DISABLED: Final = "The vault is not enabled."
_NOT_OF_PAYMENTS: Final = frozenset({"customerId", "paymentId", "method", "paymentRef", "captureId", "quote"})


def _is_whole(one: SourceReading) -> bool:
    """True if the export has everything that the vault holds; a customer that it does not know is nothing."""
    return one.state in (SourceState.OK, SourceState.CUSTOMER_NOT_FOUND) and not one.truncated


def _link(link: LinkRecord, *, with_refs: bool) -> Json:
    refs = {"customerRef": link.customer_ref} if with_refs else {}
    return {
        "provider": link.provider.name,
        **refs,
        "proof": link.proof.value,
        "linkedAt": _plain(link.linked_at),
        "linkedBy": _kind_of(link.linked_by),
    }


def _profile(profile: VaultProfile | None) -> Json | None:
    return None if profile is None else _plain(profile)


def _kind_of(caller: str | None) -> str | None:
    """The kind of a caller, without its name: ``staff:ann`` is ``staff``."""
    return None if caller is None else caller.partition(":")[0].partition("@")[0]


def _plain(value: Any) -> Any:
    """JSON of a record or a value of the model, with names in camelCase."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return _WITHHELD if looks_like_card_number(value) else value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Expiry):
        return value.text
    if is_dataclass(value) and not isinstance(value, type):
        named = ((one.name, getattr(value, one.name)) for one in fields(value))
        return {_camel(name): _plain(one) for name, one in named if name not in _LEFT_OUT}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
