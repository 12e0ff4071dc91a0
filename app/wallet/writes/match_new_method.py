"""Finds the method that an add has created if its answer was lost. Pure functions."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from app.vault.enums import AddRoute, CardBrand, MethodRef
from app.vault.model import BankAccount, Card, NewCard, NewMethod, PaymentMethod, holder_of
from app.wallet.digest import holder_digest
from app.wallet.writes.intents import MethodLook

_UNNAMED: Final = frozenset({None, CardBrand.OTHER, CardBrand.UNKNOWN})


def describe_new_method(new: NewMethod, digest_key: bytes | str) -> MethodLook:
    """What the method will look like in the vault's list, as stored in the journal.

    A network token has its own last digits and expiry: a vault may list those of the underlying card instead.
    """
    name = holder_of(new)
    holder = holder_digest(digest_key, name) if name else None
    if not isinstance(new, NewCard):
        return MethodLook(kind=new.kind, last4=_last4(new), holder=holder)
    is_network_token = new.route is AddRoute.NETWORK_TOKEN
    return MethodLook(
        kind=new.kind,
        last4=None if is_network_token else _last4(new),
        brand=new.brand,
        expiry=str(new.expiry) if new.expiry and not is_network_token else None,
        holder=holder,
        wallet=new.wallet,
    )


def candidates(
    before: Collection[str],
    methods: Iterable[PaymentMethod],
    look: MethodLook,
    claimed: Collection[str],
    digest_keys: Iterable[bytes | str],
) -> list[MethodRef]:
    """The methods that an add may have created: new, not claimed by other operations, with a compatible look.

    Several are narrowed by the cardholder's name, if that leaves any.
    """
    found = [
        method
        for method in methods
        if method.method_ref not in before and method.method_ref not in claimed and _is_compatible(method, look)
    ]
    if len(found) > 1 and look.holder:
        held = [one for one in found if _is_held_by(one, look.holder, digest_keys)]
        found = held or found
    return [method.method_ref for method in found]


def assign(options: Mapping[int, Collection[MethodRef]]) -> dict[int, MethodRef]:
    """The method of each add, as far as that is certain, from the candidates of each; several adds never share one."""
    left = {at: set(refs) for at, refs in options.items()}
    found: dict[int, MethodRef] = {}
    while True:
        single = {at: next(iter(refs)) for at, refs in left.items() if len(refs) == 1}
        count = Counter(single.values())
        certain = {at: ref for at, ref in single.items() if count[ref] == 1}
        if not certain:
            return found
        found |= certain
        taken = set(certain.values())
        left = {at: refs - taken for at, refs in left.items() if at not in certain}


def _is_compatible(method: PaymentMethod, look: MethodLook) -> bool:
    if method.kind is not look.kind or _differ(look.last4, method.last4):
        return False
    if not isinstance(method, Card):
        return isinstance(method, BankAccount)
    if look.wallet is not None and method.wallet is not look.wallet:
        return False
    brand = None if method.brand in _UNNAMED else method.brand
    asked = None if look.brand in _UNNAMED else look.brand
    return not _differ(asked, brand) and not _differ(look.expiry, str(method.expiry) if method.expiry else None)


def _differ(asked: str | None, shown: str | None) -> bool:
    """Only values that both sides have can differ."""
    return asked is not None and shown is not None and asked != shown


def _is_held_by(method: PaymentMethod, digest: str, digest_keys: Iterable[bytes | str]) -> bool:
    name = method.holder_name
    return name is not None and any(holder_digest(key, name) == digest for key in digest_keys)


def _last4(new: NewMethod) -> str | None:
    """The last four digits as given, or those of a number, which may be stored; never of a token."""
    if new.last4:
        return new.last4
    if isinstance(new, NewCard) and new.masked_card_number:
        tail = new.masked_card_number.strip()[-4:]
    elif new.route in (AddRoute.RAW_CARD, AddRoute.BANK_ACCOUNT):
        tail = "".join(new.secret.reveal().split())[-4:]
    else:
        return None
    return tail if len(tail) == 4 and tail.isascii() and tail.isdigit() else None
