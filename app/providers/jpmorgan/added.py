"""Finds the methods that a write has added, in the profile that J.P. Morgan returns. Pure."""

from collections.abc import Sequence

from app.providers.jpmorgan.requests import list_of
from app.providers.jpmorgan.wire import WireBankAccount, WireCard
from app.providers.values import last4_of
from app.vault.model import NewCard, NewMethod

Record = WireCard | WireBankAccount


def added_record(records: Sequence[tuple[str, Record]], new: NewMethod) -> Record | None:
    """The record of `new` among new ones, each with its list's name: the only one there, else the only look-alike."""
    found = [record for name, record in records if name == list_of(new)]
    if len(found) > 1:
        found = [record for record in found if _looks_like(record, new)]
    return found[0] if len(found) == 1 else None


def added_records(records: Sequence[tuple[str, Record]], news: Sequence[NewMethod]) -> list[Record] | None:
    """The records of several methods, in their order; None if that is not certain. The order of a list says nothing."""
    found = [record for new in news if (record := added_record(records, new)) is not None]
    is_whole = len(found) == len(records) == len({record["paymentMethodId"] for record in found})
    return found if is_whole and len(found) == len(news) else None


def _looks_like(record: Record, new: NewMethod) -> bool:
    """Compares the last four digits, or the wallet that a card came from. A network token may show those of its card,
    so these are not distinguished.
    """
    if isinstance(new, NewCard) and new.wallet is not None:
        return record.get("walletProvider") == new.wallet.value
    shown = record.get("last4CardNumber") if isinstance(new, NewCard) else record.get("last4AccountNumber")
    return shown == (new.last4 or last4_of(new.secret.reveal()))
