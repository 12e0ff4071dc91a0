"""Audit trail of operator commands: one row per command, in the transaction that carries it out."""

from typing import Any, Final

from app.store import Transaction
from app.store.events import append_event
from app.store.records import EventType, NewEvent
from app.wallet.caller import OPERATOR_KEY

_MOST_IDS: Final = 100


def note(tx: Transaction, command: str, *, customer_id: str | None = None, **detail: Any) -> None:
    """`command` is the command without arguments; `detail` holds those arguments that are names and numbers."""
    event = NewEvent(
        type=EventType.OPERATOR_COMMAND,
        actor=OPERATOR_KEY,
        customer_id=customer_id,
        outcome="DONE",
        detail={"command": command, **detail},
    )
    append_event(tx, event)


def some_of(ids: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """Their count and the first ids."""
    return {"count": len(ids), "ids": list(ids[:_MOST_IDS])}
