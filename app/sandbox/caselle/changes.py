"""Account updater on demand: saved methods get new data from the network, and one event names them all."""

from datetime import datetime
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.caselle import events
from app.sandbox.caselle.shapes import LAST4, integer
from app.sandbox.caselle.wallets import owner_of
from app.sandbox.checks import Check

_CHANGES: Final[dict[str, Check]] = {"exp_month": integer(1, 12), "exp_year": integer(1000, 9999), "last4": LAST4}
SIGNATURES: Final = ("good", "bad", "none")


def notify(state: Json, account: Json, fields: Json, now: datetime) -> Json:
    """`fields`: `saved_payment_method_ids`, any of `exp_month exp_year last4`, `deliveries` (1), `signature` (good).

    The event also names ids that do not exist. Returns `{changed, event_id}`; raises ValueError.
    """
    ids = fields.get("saved_payment_method_ids")
    if not (isinstance(ids, list) and ids and all(isinstance(uid, str) for uid in ids)):
        raise ValueError("saved_payment_method_ids must be a list of ids")
    change = {name: fields[name] for name in _CHANGES if fields.get(name) is not None}
    for name, value in change.items():
        if (wrong := _CHANGES[name](value)) is not None:
            raise ValueError(f"{name} {wrong}")
    copies, signature = delivery_of(fields)
    owned = [found for uid in ids if (found := owner_of(state, account["uid"], uid)) is not None]
    for _, method in owned:
        _change(method["payment_method"], change)
    data = {"saved_payment_method_ids": ids}
    event = events.record(state, account, "provider.noc", data, now, copies=copies, signature=signature)
    return {"changed": len(owned), "event_id": event["id"] if event else None}


def delivery_of(fields: Json) -> tuple[int, str]:
    """The number of copies of an event, and their signature; raises ValueError."""
    copies, signature = fields.get("deliveries", 1), fields.get("signature", "good")
    if integer(1, 100)(copies) is not None:
        raise ValueError("deliveries must be 1 to 100")
    if signature not in SIGNATURES:
        raise ValueError("signature must be good, bad or none")
    return copies, signature


def _change(payment_method: Json, change: dict[str, Any]) -> None:
    kind = payment_method["payment_method_type"]
    face = payment_method[kind]
    if kind == "credit":
        face.update(change)
    elif "last4" in change:
        face["account_suffix"] = change["last4"]
