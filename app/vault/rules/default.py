"""The effective default across vaults: one decision, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.vault.frozen import value
from app.vault.names import CustomerRef, DefaultReason, DefaultState, MethodRef, ProviderName, SourceState

MethodKey = tuple[ProviderName, CustomerRef, MethodRef]
_MAY_LACK = frozenset({SourceState.NOT_LINKED})


@value(frozen=True, slots=True)
class Candidate:
    """What the rules need to know of one method. `usable_but_for_expiry` is what `allowExpired` accepts."""

    key: MethodKey
    usable: bool
    usable_but_for_expiry: bool
    is_provider_default: bool


@dataclass(frozen=True, slots=True)
class ExplicitChoice:
    """The default that was chosen through us."""

    key: MethodKey
    allow_expired: bool = False


@dataclass(frozen=True, slots=True)
class Default:
    """`key` is given only when `state` is RESOLVED. `choice_is_gone`: the vault answered and no longer has the choice,
    so the caller clears it in the store; the decision was made without it."""

    state: DefaultState
    key: MethodKey | None = None
    reason: DefaultReason | None = None
    choice_is_gone: bool = False


def effective_default(
    candidates: Sequence[Candidate],
    states: Mapping[ProviderName, SourceState],
    choice: ExplicitChoice | None,
    precedence: Sequence[ProviderName],
) -> Default:
    """Explicit choice, else the only usable method, else the only usable vault default, else precedence among those.

    `states` has a row for every vault. Only OK is an answer: what a stale or partial list lacks proves nothing.
    A choice that exists and is not usable gives NONE: never a slide to another card.
    """
    gone = False
    if choice is not None:
        found = next((one for one in candidates if one.key == choice.key), None)
        if found is not None:
            return _of_choice(found, choice)
        if not _proves_absence(states.get(choice.key[0], SourceState.NOT_LINKED)):
            return Default(DefaultState.UNKNOWN)
        gone = True
    if not all(state is SourceState.OK or state in _MAY_LACK for state in states.values()):
        return Default(DefaultState.UNKNOWN, choice_is_gone=gone)
    return _of_vaults([one for one in candidates if one.usable], precedence, gone)


def _of_choice(found: Candidate, choice: ExplicitChoice) -> Default:
    if found.usable or (choice.allow_expired and found.usable_but_for_expiry):
        return Default(DefaultState.RESOLVED, found.key, DefaultReason.EXPLICIT_CHOICE)
    return Default(DefaultState.NONE)


def _proves_absence(state: SourceState) -> bool:
    return state is SourceState.OK or state is SourceState.NOT_LINKED


def _of_vaults(usable: Sequence[Candidate], precedence: Sequence[ProviderName], gone: bool) -> Default:
    if len(usable) == 1:
        return Default(DefaultState.RESOLVED, usable[0].key, DefaultReason.ONLY_USABLE_METHOD, gone)
    defaults = [one for one in usable if one.is_provider_default]
    if not defaults:
        return Default(DefaultState.NONE, choice_is_gone=gone)
    if len(defaults) == 1:
        return Default(DefaultState.RESOLVED, defaults[0].key, DefaultReason.ONLY_PROVIDER_DEFAULT, gone)
    order = [*precedence, *(name for name in ProviderName if name not in precedence)]
    first = min(defaults, key=lambda one: (order.index(one.key[0]), one.key))
    return Default(DefaultState.RESOLVED, first.key, DefaultReason.PROVIDER_PRECEDENCE, gone)
