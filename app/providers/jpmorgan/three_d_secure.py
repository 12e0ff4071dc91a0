"""Maps J.P. Morgan's 3-D Secure data to the unified model. Pure.

Source: "Retrieve the 3D Secure status of a payment method", and schema `authenticationResult`.
"""

from collections.abc import Mapping
from typing import Final

from app.providers.jpmorgan.verdicts import is_refusal, verdict
from app.providers.jpmorgan.wire import WireCard, WireStatus
from app.providers.values import instant_of, message, text, word
from app.vault.enums import AuthStatus, NextActionKind
from app.vault.model import NextAction, ThreeDSecure

_AUTH: Final[Mapping[str, AuthStatus]] = {
    "SUCCESS": AuthStatus.AUTHENTICATED,
    "DENIED": AuthStatus.FAILED,
    "ERROR": AuthStatus.UNAVAILABLE,
}


def to_three_d_secure(wire: WireStatus) -> ThreeDSecure | None:
    """Parse the reply of ``.../status``; None without details: there was no attempt.

    Source: "Retrieve the 3D Secure status of a payment method".
    """
    if text(wire.get("consumerProfileId")) is None or is_refusal(wire):
        raise ValueError("not a status")
    details = wire.get("cardAuthenticationDetails")
    if details is None or details == {}:
        return None
    if not isinstance(details, dict):
        raise ValueError("details of another shape")
    given = details.get("responseStatus")
    response_status = given if isinstance(given, str) and given in _AUTH else word(given)
    status = _AUTH.get((response_status or "").upper(), AuthStatus.UNKNOWN)
    if status is AuthStatus.AUTHENTICATED and not (verdict(details) and verdict(wire) is not False):
        status = AuthStatus.FAILED if verdict(details) is False else AuthStatus.UNKNOWN
    return ThreeDSecure(
        status=status,
        raw_status=response_status,
        authentication_id=text(details.get("authenticationId")),
        authenticated_at=instant_of(details.get("transactionDate")),
        transaction_id=message(details.get("transactionIdentifier")),
        response_code=message(details.get("responseCode")),
        response_message=message(details.get("responseMessage")),
        host_message=message(details.get("hostMessage")),
    )


def next_action_of(wire: WireCard) -> NextAction | None:
    """Where the shopper must go to complete the 3-D Secure requested while adding; None if nothing is required."""
    result = wire.get("authenticationResult")
    url = text(result.get("authenticationOrchestrationUrl")) if isinstance(result, dict) else None
    if url is None or not url.startswith(("https://", "http://")):
        return None
    return NextAction(kind=NextActionKind.REDIRECT, url=url)


def pending_authentication(wire: WireCard) -> ThreeDSecure | None:
    action = next_action_of(wire)
    if action is None:
        return None
    return ThreeDSecure(
        status=AuthStatus.CHALLENGE_REQUIRED,
        authentication_id=text(wire["authenticationResult"].get("authenticationId")),
        next_action=action,
    )
