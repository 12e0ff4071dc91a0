"""Hosted sessions and browser tokenization: Caselle's wire types and the unified model. Pure.

Bodies contain exactly the properties shown on the pages, since unknown ones are rejected.
"""

import re
from typing import Any, Final

from app.errors import FieldFault
from app.providers.base import fault, required
from app.providers.caselle.payments import faults_of_amount
from app.providers.values import instant_of, text
from app.vault.enums import NextActionKind
from app.vault.model import NextAction
from app.vault.payments import HostedSession, NewSession, SessionRef, Tokenization
from app.vault.secret import Secret

_WEB_ADDRESS: Final = re.compile(r"https?://[^\s<>\"']+")


def faults_of_session(new: NewSession) -> list[FieldFault]:
    faults: list[FieldFault] = []
    if new.amount is None or new.currency is None:
        faults.append(required("amount", message="A hosted session of Caselle is a payment: it needs an amount."))
    else:
        faults.extend(faults_of_amount(new.amount, new.currency))
    for name, url in (("return_url", new.return_url), ("cancel_url", new.cancel_url)):
        if _WEB_ADDRESS.fullmatch(url) is None:
            faults.append(fault(name, message="The shopper must return to an http or https URL."))
    return faults


def from_session(new: NewSession) -> dict[str, Any]:
    """The body of ``POST /v1/hosted-sessions``: the customer's wallet is offered, fees are the server's."""
    body: dict[str, Any] = {
        "amount": new.amount,
        "currency": new.currency,
        "customer_id": new.customer_ref,
        "success_url": new.return_url,
        "cancel_url": new.cancel_url,
        "setup_future_usage": "on_session" if new.save else "off",
    }
    return body | ({"layout": "embedded"} if new.embedded else {})


def to_session(new: NewSession, wire: Any) -> HostedSession:
    url = text(wire.get("hosted_url"))
    secret = text(wire.get("client_secret"))
    if url is None or _WEB_ADDRESS.fullmatch(url) is None:
        raise ValueError("no hosted_url")
    return HostedSession(
        session_ref=SessionRef(wire["session_id"]),
        next_action=NextAction(
            kind=NextActionKind.EMBED if new.embedded else NextActionKind.REDIRECT,
            url=url,
            client_token=Secret(secret) if secret else None,
            expires_at=instant_of(wire.get("expires_at")),
        ),
    )


def to_tokenization(wire: Any) -> Tokenization:
    """The configuration of Caselle's browser SDK, page "Payments"; raises ValueError on anything else."""
    if not isinstance(wire, dict) or not isinstance(wire.get("config"), dict) or not text(wire.get("processor")):
        raise ValueError("no client configuration")
    return Tokenization(client_config=wire)
