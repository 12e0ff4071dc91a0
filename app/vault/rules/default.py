"""Resolves a customer's default payment method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.vault.enums import CustomerRef, DefaultReason, DefaultState, MethodRef, ProviderName, SourceState
from app.vault.frozen_dataclass import value

MethodKey = tuple[ProviderName, CustomerRef, MethodRef]
_CONCLUSIVE: Final = frozenset({SourceState.OK, SourceState.NOT_LINKED, SourceState.CUSTOMER_NOT_FOUND})


@value(frozen=True, slots=True)
class DefaultCandidate:
    """One method, as far as the rules need it. `usable_but_for_expiry` is the condition under `allowExpired`."""

    key: MethodKey
    usable: bool
    usable_but_for_expiry: bool
    is_provider_default: bool


@dataclass(frozen=True, slots=True)
class StoredChoice:
    """The stored default: chosen by the customer or, with `is_kept`, found by a rule when a method was added.

    If the method of a kept default becomes unusable, the rules decide again.
    """

    key: MethodKey
    allow_expired: bool = False
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Default:
    """`key` is set only if `state` is RESOLVED. `choice_is_missing`: the vault's list lacks the stored choice.

    One such list is not enough to drop the choice, so the state is NONE and no other method becomes the default.
    """

    state: DefaultState
    key: MethodKey | None = None
    reason: DefaultReason | None = None
    choice_is_missing: bool = False


def effective_default(
    candidates: Sequence[DefaultCandidate],
    states: Mapping[ProviderName, SourceState],
    choice: StoredChoice | None,
    precedence: Sequence[ProviderName],
) -> Default:
    """Stored choice, else the only usable method, else the only usable vault default, else precedence among those.

    `states` has an entry for every vault. Only OK, NOT_LINKED and CUSTOMER_NOT_FOUND are conclusive; a stale or partial
    list is not. If the customer's choice is not usable, the state is NONE; no other method replaces it.
    """
    if choice is not None:
        found = next((one for one in candidates if one.key == choice.key), None)
        if found is None:
            return _of_missing(states.get(choice.key[0], SourceState.NOT_LINKED))
        if found.usable or (choice.allow_expired and found.usable_but_for_expiry):
            reason = DefaultReason.KEPT if choice.is_kept else DefaultReason.EXPLICIT_CHOICE
            return Default(DefaultState.RESOLVED, found.key, reason)
        if not choice.is_kept:
            return Default(DefaultState.NONE)
    if not all(state in _CONCLUSIVE for state in states.values()):
        return Default(DefaultState.UNKNOWN)
    return _of_vaults([one for one in candidates if one.usable], precedence)


def _of_missing(state: SourceState) -> Default:
    if state in _CONCLUSIVE:
        return Default(DefaultState.NONE, choice_is_missing=True)
    return Default(DefaultState.UNKNOWN)


def _of_vaults(usable: Sequence[DefaultCandidate], precedence: Sequence[ProviderName]) -> Default:
    if len(usable) == 1:
        return Default(DefaultState.RESOLVED, usable[0].key, DefaultReason.ONLY_USABLE_METHOD)
    defaults = [one for one in usable if one.is_provider_default]
    if not defaults:
        return Default(DefaultState.NONE)
    if len(defaults) == 1:
        return Default(DefaultState.RESOLVED, defaults[0].key, DefaultReason.ONLY_PROVIDER_DEFAULT)
    order = [*precedence, *(name for name in ProviderName if name not in precedence)]
    first = min(defaults, key=lambda one: (order.index(one.key[0]), one.key))
    return Default(DefaultState.RESOLVED, first.key, DefaultReason.PROVIDER_PRECEDENCE)
