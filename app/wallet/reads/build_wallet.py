"""Builds one wallet from the vaults' readings and the stored facts: a pure function."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from msgspec import Struct

from app.store.records import ChoiceRecord, DirectoryEntry, MethodAddress
from app.vault.enums import (
    DefaultReason,
    DefaultState,
    ExpiryState,
    PaymentMethodStatus,
    ProviderCapability,
    ProviderName,
    SourceState,
)
from app.vault.frozen_dataclass import value
from app.vault.model import Card, PaymentMethod
from app.vault.rules.default import Default, DefaultCandidate, StoredChoice, effective_default
from app.vault.rules.expiry import ExpiryClock, shown_status
from app.vault.rules.filter import is_hidden
from app.vault.rules.lookalikes import group_keys, groups, look_of
from app.vault.rules.usable import capabilities_of, is_usable, is_usable_but_for_expiry
from app.wallet.defaults.stored_choice import CLEAR_AFTER, ChoiceChange, ReadAge, age_of_read, change_of
from app.wallet.reads.reader import CachedMethod, SourceReading

_VAULTS: Final = tuple(ProviderName)
_NONE: Final[frozenset[ProviderCapability]] = frozenset()
_THREE_DS: Final = ProviderCapability.THREE_D_SECURE


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletRules:
    """Configuration of a wallet. `operations` has every enabled vault; `group_secret` at most 64 bytes.

    `clear_default_after` is the minimum time between two complete lists without the stored default before it is
    cleared.
    """

    operations: Mapping[ProviderName, frozenset[ProviderCapability]]
    precedence: tuple[ProviderName, ...]
    group_secret: bytes
    expiring_soon_days: int = 30
    clear_default_after: timedelta = CLEAR_AFTER


@value(frozen=True, slots=True, kw_only=True)
class WalletMethod:
    """One payment method with its derived state. `is_default` None: unknown.

    `has_status_call`: its 3-D Secure status is a call of its own.
    """

    id: str
    method: PaymentMethod
    label: str
    status: PaymentMethodStatus
    expiry_state: ExpiryState
    usable: bool
    is_default: bool | None
    nickname: str | None
    lookalikes: tuple[str, ...]
    capabilities: tuple[ProviderCapability, ...]
    is_stale: bool
    has_status_call: bool

    @property
    def address(self) -> MethodAddress:
        return MethodAddress(self.method.provider, self.method.customer_ref, self.method.method_ref)


def group_key(customer_id: str, method: PaymentMethod, rules: WalletRules) -> str | None:
    """Equal for look-alike methods of one customer. Computed on demand: it is rarely selected, and thousands are
    cached."""
    look = look_of(method)
    return group_keys(customer_id, rules.group_secret)(look) if look else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultInfo:
    """The effective default and its reason. `choice_change` is the change of the stored choice that these lists imply,
    to be stored; `answers` are the vaults' states as input of the default's rules."""

    state: DefaultState
    reason: DefaultReason | None
    method_id: str | None
    choice: ChoiceRecord | None
    answers: Mapping[ProviderName, SourceState]
    choice_change: ChoiceChange | None = None
    choice_read_at: datetime | None = None


class Wallet(Struct, kw_only=True):  # immutable in use; created in C, once per read
    """All of a customer's methods, inactive ones included, in a stable order.

    `visible` has the methods listed by default, the default one first. `sources` has a reading for every vault, in the
    order of `ProviderName`.
    """

    entry: DirectoryEntry
    methods: tuple[WalletMethod, ...]
    visible: tuple[WalletMethod, ...]
    default: DefaultInfo
    sources: Mapping[ProviderName, SourceReading]

    @property
    def default_method(self) -> WalletMethod | None:
        return self.method(self.default.method_id)

    def method(self, method_id: str | None) -> WalletMethod | None:
        return next((one for one in self.methods if one.id == method_id), None)

    @property
    def provider_defaults(self) -> tuple[WalletMethod, ...]:
        return tuple(one for one in self.methods if one.method.is_provider_default and not is_hidden(one.status))

    def nothing_answered(self, providers: Collection[ProviderName]) -> bool:
        """True if none of the linked vaults among `providers` returned data; false if none is linked."""
        is_linked = False
        for link in self.entry.links:
            if link.provider in providers:
                is_linked = True
                if self.sources[link.provider].fetched_at is not None:
                    return False
        return is_linked


@value(frozen=True, slots=True)
class _Draft(DefaultCandidate):
    """A method while its wallet is being built."""

    cached: CachedMethod
    method: PaymentMethod
    is_stale: bool
    status: PaymentMethodStatus
    is_hidden: bool
    expiry: ExpiryState


def build_wallet(
    entry: DirectoryEntry,
    readings: Mapping[ProviderName, SourceReading],
    rules: WalletRules,
    now: datetime,
) -> Wallet:
    """Build the wallet. `readings` has only the vaults that were asked; those of the others are derived here."""
    clock = ExpiryClock.at(now, rules.expiring_soon_days)
    sources = sources_of(entry, readings, rules)
    drafts: list[_Draft] = []
    for reading in sources.values():
        if reading.cached is not None:
            drafts += [_draft(one, entry, reading.is_stale, clock) for one in reading.cached.methods]
    default = _default(entry, drafts, sources, readings, rules)
    methods = _methods(entry, drafts, default, rules)
    return Wallet(
        entry=entry,
        methods=methods,
        visible=tuple(
            sorted([one for one in methods if not is_hidden(one.status)], key=lambda one: not one.is_default)
        ),
        default=default,
        sources=sources,
    )


def with_kept_holder(method: PaymentMethod, entry: DirectoryEntry | None) -> PaymentMethod:
    """The method with the holder's name that the gateway keeps, if its vault shows none."""
    if entry is None or not entry.holder_names or method.holder_name is not None:
        return method
    kept = entry.holder_names.get(MethodAddress(method.provider, method.customer_ref, method.method_ref))
    return method if kept is None else replace(method, holder_name=kept)


def _draft(one: CachedMethod, entry: DirectoryEntry, is_stale: bool, clock: ExpiryClock) -> _Draft:
    method = with_kept_holder(one.method, entry) if entry.holder_names else one.method
    expiry = clock.state_of(method)
    status = shown_status(method.status, expiry)
    usable = is_usable(method, expiry)
    return _Draft(
        key=(method.provider, method.customer_ref, method.method_ref),
        usable=usable,
        usable_but_for_expiry=usable or is_usable_but_for_expiry(method),
        is_provider_default=bool(method.is_provider_default),
        cached=one,
        method=method,
        is_stale=is_stale,
        status=status,
        is_hidden=is_hidden(status),
        expiry=expiry,
    )


def sources_of(
    entry: DirectoryEntry, readings: Mapping[ProviderName, SourceReading], rules: WalletRules
) -> dict[ProviderName, SourceReading]:
    """A reading for every vault: those that were not asked get one without data."""
    sources: dict[ProviderName, SourceReading] = {}
    for name in _VAULTS:
        sources[name] = readings[name] if name in readings else _unread(name, entry, rules)
    return sources


def _unread(name: ProviderName, entry: DirectoryEntry, rules: WalletRules) -> SourceReading:
    if name not in rules.operations:
        return _without_data(name, SourceState.DISABLED)
    return _without_data(name, SourceState.NOT_LINKED if entry.link(name) is None else SourceState.SKIPPED)


@cache
def _without_data(name: ProviderName, state: SourceState) -> SourceReading:
    return SourceReading(provider=name, state=state)


def _default(
    entry: DirectoryEntry,
    drafts: Sequence[_Draft],
    sources: Mapping[ProviderName, SourceReading],
    readings: Mapping[ProviderName, SourceReading],
    rules: WalletRules,
) -> DefaultInfo:
    choice = entry.choice
    answers = {name: _answer(name, entry, row, readings.get(name), rules) for name, row in sources.items()}
    found = effective_default(drafts, answers, stored_choice(choice) if choice else None, rules.precedence)
    change, read_at = None, None
    if choice is not None and (reading := readings.get(choice.provider)) is not None:
        change, read_at = _change(entry, choice, found, reading, drafts, rules), reading.asked_at
    return DefaultInfo(
        state=found.state,
        reason=found.reason,
        method_id=next((draft.cached.id for draft in drafts if draft.key == found.key), None) if found.key else None,
        choice=choice,
        answers=answers,
        choice_change=change,
        choice_read_at=read_at,
    )


def stored_choice(choice: ChoiceRecord) -> StoredChoice:
    return StoredChoice((choice.provider, choice.customer_ref, choice.method_ref), choice.allow_expired, choice.is_kept)


def _change(
    entry: DirectoryEntry,
    choice: ChoiceRecord,
    found: Default,
    reading: SourceReading,
    drafts: Sequence[_Draft],
    rules: WalletRules,
) -> ChoiceChange | None:
    if reading.asked_at is None:
        return None
    key = (choice.provider, choice.customer_ref, choice.method_ref)
    is_listed = choice.missing_since is not None and any(draft.key == key for draft in drafts)
    if not found.choice_is_missing and not is_listed:
        return None
    return change_of(choice, read_age(entry, choice.provider, reading, rules), is_listed=is_listed)


def awaited_default(wallet: Wallet, rules: WalletRules) -> WalletMethod | None:
    """The PENDING method that would be the default if it were usable; None if there is a default, or none would be.

    A card is PENDING until its holder has completed a challenge.
    """
    pending = {one.address for one in wallet.methods if one.status is PaymentMethodStatus.PENDING}
    if not pending or wallet.default.state is not DefaultState.NONE:
        return None
    by_key = {(one.method.provider, one.method.customer_ref, one.method.method_ref): one for one in wallet.methods}
    candidates = [
        DefaultCandidate(key, one.usable or one.address in pending, False, bool(one.method.is_provider_default))
        for key, one in by_key.items()
    ]
    choice = wallet.default.choice
    stored = stored_choice(choice) if choice else None
    found = effective_default(candidates, wallet.default.answers, stored, rules.precedence).key
    return by_key[found] if found is not None and by_key[found].address in pending else None


def default_for_payment(wallet: Wallet, rules: WalletRules) -> DefaultInfo:
    """The default among the methods that can pay: usable, at a vault that supports payments.

    A customer's choice that cannot pay gives NONE; for a kept default the rules choose another method.
    """
    choice = wallet.default.choice
    stored = None if choice is None else replace(stored_choice(choice), allow_expired=False)
    pays = stored is None or ProviderCapability.PAY in rules.operations.get(stored.key[0], _NONE)
    if stored is not None and not pays:
        if not stored.is_kept:
            return replace(wallet.default, state=DefaultState.NONE, reason=None, method_id=None)
        stored = None
    by_key = {(one.method.provider, one.method.customer_ref, one.method.method_ref): one for one in wallet.methods}
    candidates = [
        DefaultCandidate(key, ProviderCapability.PAY in one.capabilities, False, bool(one.method.is_provider_default))
        for key, one in by_key.items()
    ]
    found = effective_default(candidates, wallet.default.answers, stored, rules.precedence)
    method_id = by_key[found.key].id if found.key is not None else None
    return replace(wallet.default, state=found.state, reason=found.reason, method_id=method_id)


def _answer(
    name: ProviderName, entry: DirectoryEntry, row: SourceReading, reading: SourceReading | None, rules: WalletRules
) -> SourceState:
    """The row's state as input of the default's rules.

    An unlinked vault contributes nothing. A list requested before the choice was made may lack the chosen method, so it
    counts as PARTIAL.
    """
    if entry.link(name) is None:
        return SourceState.NOT_LINKED
    if reading is not None and read_age(entry, name, reading, rules) is ReadAge.BEFORE_CHOICE:
        return SourceState.PARTIAL
    return row.state


def read_age(entry: DirectoryEntry, name: ProviderName, reading: SourceReading, rules: WalletRules) -> ReadAge:
    """The list's time relative to the customer's choice, if the choice is at this vault."""
    choice = entry.choice
    if choice is None or choice.provider is not name or reading.asked_at is None:
        return ReadAge.AFTER_CHOICE
    return age_of_read(choice, reading.asked_at, rules.clear_default_after)


def _methods(
    entry: DirectoryEntry, drafts: Sequence[_Draft], default: DefaultInfo, rules: WalletRules
) -> tuple[WalletMethod, ...]:
    alike = groups([(draft.cached.id, None if draft.is_hidden else look_of(draft.method)) for draft in drafts])
    is_known = default.state is not DefaultState.UNKNOWN
    made: list[WalletMethod] = []
    for draft in drafts:
        one, method = draft.cached, draft.method
        operations = rules.operations.get(method.provider, _NONE)
        made.append(
            WalletMethod(
                id=one.id,
                method=method,
                label=one.label,
                status=draft.status,
                expiry_state=draft.expiry,
                usable=draft.usable,
                is_default=one.id == default.method_id if is_known else None,
                nickname=_nickname(entry, method) if entry.nicknames else None,
                lookalikes=tuple(alike.get(one.id, ())),
                capabilities=capabilities_of(method.kind, draft.usable, operations),
                is_stale=draft.is_stale,
                has_status_call=_THREE_DS in operations and isinstance(method, Card),
            )
        )
    return tuple(made)


def _nickname(entry: DirectoryEntry, method: PaymentMethod) -> str | None:
    return entry.nicknames.get(MethodAddress(method.provider, method.customer_ref, method.method_ref))
