"""Differences between what the gateway stores and what the vaults have, found for one customer at a time.

A vault that did not answer, or not in full, gives no finding about its customer.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.store import Transaction
from app.store.directory_reads import stored_choice
from app.store.link_health import is_marked_not_found
from app.store.records import ChoiceRecord, DirectoryEntry, EventOrigin, MethodAddress
from app.vault.enums import CustomerRef, ProviderName, SourceState
from app.vault.model import PaymentMethod, VaultWallet
from app.vault.rules.filter import is_hidden
from app.vault.rules.label import label_of
from app.vault.rules.lookalikes import groups, look_of
from app.wallet.changes.detector import SeenList, record_list, record_not_found
from app.wallet.defaults.stored_choice import CLEAR_AFTER, apply_to_choice

_Add = Callable[..., None]


class FindingCode(StrEnum):
    CUSTOMER_GONE = "CUSTOMER_GONE"  # the vault does not know a linked customer
    METHOD_NOT_SEEN = "METHOD_NOT_SEEN"  # in the vault's list, but never observed
    METHOD_GONE = "METHOD_GONE"  # observed before, but not in the vault's list
    DUPLICATE_LOOK = "DUPLICATE_LOOK"  # methods of one customer that look the same, in one vault or in several
    DEFAULT_GONE = "DEFAULT_GONE"  # the stored default is not in its vault's list, or its vault is not linked
    DEFAULT_INACTIVE = "DEFAULT_INACTIVE"  # the stored default is in its vault's list as inactive or deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`methods` are the methods concerned; `provider` is the vault of all of them, None if there are several."""

    code: FindingCode
    customer_id: str
    provider: ProviderName | None
    methods: tuple[MethodAddress, ...] = ()
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedLink:
    """What a vault said about one linked customer. `wallet` is its complete list; `is_gone`: it does not know the
    customer; otherwise `unread` says why nothing is known. `asked_at` is when the call began."""

    asked_at: datetime
    wallet: VaultWallet | None = None
    is_gone: bool = False
    unread: SourceState | None = None

    @property
    def methods(self) -> tuple[PaymentMethod, ...]:
        return () if self.wallet is None else self.wallet.methods


def address_of(method: PaymentMethod) -> MethodAddress:
    return MethodAddress(method.provider, method.customer_ref, method.method_ref)


def findings_of(
    entry: DirectoryEntry,
    checked: Mapping[ProviderName, CheckedLink],
    seen: Collection[MethodAddress],
    seen_throughout: Collection[MethodAddress],
) -> list[Finding]:
    """`seen` are the methods observed before or after the vaults were read, `seen_throughout` those observed both
    before and after: what changes meanwhile is no finding. `checked` has the linked vaults that were asked.
    """
    customer_id = entry.customer.id
    found: list[Finding] = []

    def add(code: FindingCode, provider: ProviderName | None, message: str, *methods: MethodAddress) -> None:
        finding = Finding(code=code, customer_id=customer_id, provider=provider, methods=methods, message=message)
        found.append(finding)

    for provider, link in checked.items():
        if link.is_gone:
            add(FindingCode.CUSTOMER_GONE, provider, "The vault does not know the linked customer.")
        elif link.wallet is not None:
            listed = {address_of(one): one for one in link.methods}
            for address, method in listed.items():
                if address not in seen:
                    message = f"Never observed: {label_of(method)}."
                    add(FindingCode.METHOD_NOT_SEEN, provider, message, address)
            for address in seen_throughout:
                if address.provider is provider and address not in listed:
                    add(FindingCode.METHOD_GONE, provider, "Observed before, not in the vault's list now.", address)
    for alike in _lookalikes(method for link in checked.values() for method in link.methods):
        vaults = {one.provider for one in alike}
        provider_of_all = next(iter(vaults)) if len(vaults) == 1 else None
        message = f"They look the same: {label_of(alike[0])}."
        add(FindingCode.DUPLICATE_LOOK, provider_of_all, message, *(address_of(one) for one in alike))
    if entry.choice is not None:
        _add_default(entry, entry.choice, checked, add)
    return found


def _lookalikes(methods: Iterable[PaymentMethod]) -> list[list[PaymentMethod]]:
    """Groups of methods that look the same; hidden ones are left out."""
    shown = {address_of(one): one for one in methods if not is_hidden(one.status)}
    found: list[list[PaymentMethod]] = []
    grouped: set[MethodAddress] = set()
    for address, others in groups((address, look_of(one)) for address, one in shown.items()).items():
        if address not in grouped:
            grouped.update((address, *others))
            found.append([shown[address], *(shown[other] for other in others)])
    return found


def _add_default(
    entry: DirectoryEntry, choice: ChoiceRecord, checked: Mapping[ProviderName, CheckedLink], add: _Add
) -> None:
    address, link = choice.address, entry.link(choice.provider)
    if link is None or link.customer_ref != choice.customer_ref:
        add(FindingCode.DEFAULT_GONE, choice.provider, "The stored default's vault is not linked.", address)
        return
    found = checked.get(choice.provider)
    if found is None or found.unread is not None or found.asked_at <= choice.set_at:
        return
    method = next((one for one in found.methods if one.method_ref == choice.method_ref), None)
    if method is None:
        add(FindingCode.DEFAULT_GONE, choice.provider, "The stored default is not in its vault's list.", address)
    elif is_hidden(method.status):
        message = f"The stored default is {method.status.value} in its vault."
        add(FindingCode.DEFAULT_INACTIVE, choice.provider, message, address)


# ---- functions of a transaction ----------------------------------------------------------------------------------


def store_list(tx: Transaction, customer_id: str, link: CheckedLink) -> bool:
    """Store a complete list as observed, with the events of its differences. False if a write or a newer list may have
    changed it since."""
    assert link.wallet is not None
    seen = SeenList(link.wallet, customer_id, EventOrigin.RECONCILIATION, link.asked_at)
    return not record_list(tx, seen).is_outdated


def store_gone(tx: Transaction, provider: ProviderName, customer_ref: CustomerRef) -> bool:
    """Mark that the vault does not know the customer. False if that was known."""
    if is_marked_not_found(tx, provider, customer_ref):
        return False
    record_not_found(tx, provider, customer_ref)
    return True


def clear_default(tx: Transaction, choice: ChoiceRecord, *, asked_at: datetime) -> bool:
    """Clear the stored default that a second list lacks too. False if it was changed meanwhile."""
    now = stored_choice(tx, choice.customer_id)
    if now is None or now.address != choice.address:
        return False
    return apply_to_choice(tx, now, CLEAR_AFTER, is_listed=False, asked_at=asked_at, is_notified=True)
