"""The state machine of a payment.

Capture replies, webhooks, operators and reconciliation report states in any order and repeatedly. Where money moved,
the result does not depend on the order: a payment only moves forward from CAPTURED through REFUNDED, REVERSED and
RETURNED to DISPUTED, and a report that money moved overrides a report that it did not.
"""

from collections.abc import Mapping
from typing import Final

from app.vault.payments import PaymentState

_S = PaymentState

_AFTER_CAPTURE: Final = (_S.REFUNDED, _S.REVERSED, _S.RETURNED, _S.DISPUTED)
"""In ascending priority: a refund of a disputed payment leaves it DISPUTED."""
_MOVED: Final = (_S.CAPTURED, *_AFTER_CAPTURE)
_FINAL: Final = frozenset({*_MOVED, _S.DECLINED, _S.CANCELED})
_OPEN: Final = frozenset({_S.REQUIRES_ACTION, _S.PROCESSING, _S.AUTHORIZED, _S.UNKNOWN})

_FOLLOWERS: Final[Mapping[PaymentState, frozenset[PaymentState]]] = {
    _S.QUOTED: _OPEN | _FINAL,
    # Back to QUOTED only if the capture request was not sent, or the vault rejected it unprocessed.
    _S.PROCESSING: (_OPEN | _FINAL | {_S.QUOTED}) - {_S.PROCESSING},
    _S.REQUIRES_ACTION: (_OPEN | _FINAL) - {_S.REQUIRES_ACTION},
    _S.AUTHORIZED: _FINAL,
    _S.UNKNOWN: _FINAL | {_S.AUTHORIZED},
    _S.DECLINED: frozenset(_MOVED),
    _S.CANCELED: frozenset(_MOVED),
    **{state: frozenset(_MOVED[place + 1 :]) for place, state in enumerate(_MOVED)},
}


def may_follow(current: PaymentState, reported: PaymentState) -> bool:
    """Whether a payment may change from `current` to `reported`. False if they are equal."""
    return reported in _FOLLOWERS[current]


def is_open(state: PaymentState) -> bool:
    """Whether a capture was sent and its outcome is still to come, or unknown."""
    return state in _OPEN


def has_moved_money(state: PaymentState) -> bool:
    """Whether the total was charged, even if it was returned since."""
    return state in _MOVED


def has_ended_unpaid(state: PaymentState) -> bool:
    """Whether it ended without a charge: paying needs a new quote."""
    return state in (_S.DECLINED, _S.CANCELED)
