"""The state machine of a payment: which state may follow which, and what follows from it.

Capture answers, webhooks, operators and reconciliation report in any order and repeatedly. The rules make the order
irrelevant where money moved: a payment only ever climbs from CAPTURED through REFUNDED, REVERSED and RETURNED to
DISPUTED, and whoever says that money moved wins over whoever said that it did not.
"""

from collections.abc import Mapping
from typing import Final

from app.vault.payments import PaymentState

_S = PaymentState

_AFTER_CAPTURE: Final = (_S.REFUNDED, _S.REVERSED, _S.RETURNED, _S.DISPUTED)
"""In the order in which they prevail: a refund of a disputed payment leaves it DISPUTED."""
_MOVED: Final = (_S.CAPTURED, *_AFTER_CAPTURE)
_ENDS: Final = frozenset({*_MOVED, _S.DECLINED, _S.CANCELED})
_OPEN: Final = frozenset({_S.REQUIRES_ACTION, _S.PROCESSING, _S.AUTHORIZED, _S.UNKNOWN})

_FOLLOWERS: Final[Mapping[PaymentState, frozenset[PaymentState]]] = {
    _S.QUOTED: _OPEN | _ENDS,
    # Back to QUOTED only for a capture whose request never left the gateway, or was turned away at the vault's door.
    _S.PROCESSING: (_OPEN | _ENDS | {_S.QUOTED}) - {_S.PROCESSING},
    _S.REQUIRES_ACTION: (_OPEN | _ENDS) - {_S.REQUIRES_ACTION},
    _S.AUTHORIZED: _ENDS,
    _S.UNKNOWN: _ENDS | {_S.AUTHORIZED},
    _S.DECLINED: frozenset(_MOVED),
    _S.CANCELED: frozenset(_MOVED),
    **{state: frozenset(_MOVED[place + 1 :]) for place, state in enumerate(_MOVED)},
}


def may_follow(current: PaymentState, reported: PaymentState) -> bool:
    """Whether a payment in `current` may become `reported`. A state never follows itself: repeats change nothing."""
    return reported in _FOLLOWERS[current]


def has_moved_money(state: PaymentState) -> bool:
    """Whether the total was taken, whatever became of it since."""
    return state in _MOVED


def has_ended_unpaid(state: PaymentState) -> bool:
    """Whether it ended without taking money: whoever still wants to pay needs a new quote."""
    return state in (_S.DECLINED, _S.CANCELED)
