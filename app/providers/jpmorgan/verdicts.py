"""What the words of J.P. Morgan's replies mean: refusals, and whether a SUCCESS is confirmed. Pure."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from app.providers.lists import is_error

_LETTER_OF_3DS: Final = {"Y": True, "N": False, "R": False}
_GOOD: Final = re.compile(r"\b(?:ACCEPT|APPROV|SUCCE|AUTHENTICATED|AUTHORI[SZ]ED|COMPLETED?\b)|^(?:OK|0+)$")
_BAD: Final = re.compile(
    r"DECLIN|DENIED|DENY|DENIAL|REJECT|REFUS|FAIL|UNSUCCESS|UNAUTHENTICATED|UNAPPROV|DO NOT HONOU?R|INSUFFICIENT|STOLEN"
)
_NEGATION: Final = re.compile(r"\b(?:NOT?|NON|NEVER|WITHOUT|CANNOT)\b")
_TALK: Final = ("responseCode", "responseMessage", "hostMessage")


def is_refusal(body: Mapping[str, Any]) -> bool:
    """True if a body is `messages` with an error, or the edge server's error, whatever its HTTP status."""
    response_status = body.get("responseStatus")
    is_fine = response_status is None or (
        isinstance(response_status, str) and response_status.upper() in ("SUCCESS", "")
    )
    return not is_fine or bool(body.get("validationErrors")) or is_error(body)


def verdict(details: Mapping[str, Any]) -> bool | None:
    """Whether the fields next to a SUCCESS confirm it: True also if there are none, False if they say that the holder
    or the account was rejected, and None if they say anything else or cannot be read.
    """
    verdicts: list[bool | None] = []
    for name in _TALK:
        given = details.get(name)
        verdicts.append(_verdict_of(given) if isinstance(given, str) else True if given is None else None)
    letter = details.get("threeDSTransactionStatus")
    if letter is not None:
        verdicts.append(_LETTER_OF_3DS.get(letter) if isinstance(letter, str) else None)
    if False in verdicts:
        return False
    return None if None in verdicts else True


@lru_cache(maxsize=256)  # four for each status; few distinct ones occur
def _verdict_of(value: str) -> bool | None:
    """For one code or message; there is no published list of either, except ``ACCEPTED``."""
    if not value.strip():
        return True
    spelled = value.upper().replace("_", " ").strip()
    is_good, is_negated = _GOOD.search(spelled) is not None, _NEGATION.search(spelled) is not None
    if _BAD.search(spelled):
        return None if is_negated and "HONO" not in spelled else False
    if is_good:
        return not is_negated
    return None
