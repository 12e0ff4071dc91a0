"""Classifies replies to writes: applied, refused, or unknown until the vault's list shows the result."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from app.errors import OutcomeUnknown, VaultError
from app.http.message import VaultReply
from app.providers.base import SHAPE_ERRORS, request_id_of
from app.vault.enums import ProviderName

Shape = Callable[[Any], bool]
"""Checks whether a decoded body (see `decoded`) has the documented shape; it may raise `SHAPE_ERRORS` if not."""


class WriteVerdict(Enum):
    APPLIED = "applied"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteAnswers:
    """The documented replies to one write operation, as statuses and the shape of their bodies.

    `applied` means that the vault did it, `refused` that it changed nothing. Any other reply is unknown, whatever its
    status. `over` are statuses of unknown replies after which the request is certainly no longer in flight.
    """

    applied: Mapping[int, Shape]
    refused: Mapping[int, Shape]
    over: frozenset[int] = field(default=frozenset())

    def classify(self, reply: VaultReply) -> WriteVerdict:
        return self._judge(reply.status, decoded(reply))

    def _judge(self, status: int, body: Any) -> WriteVerdict:
        if _fits(self.applied.get(status), body):
            return WriteVerdict.APPLIED
        return WriteVerdict.REFUSED if _fits(self.refused.get(status), body) else WriteVerdict.UNKNOWN

    def read(self, provider: ProviderName, reply: VaultReply, refusal: Callable[[], VaultError]) -> Any:
        """The decoded body of an applied write. Raises `refusal()` for a refused one, else OutcomeUnknown."""
        body = decoded(reply)
        verdict = self._judge(reply.status, body)
        if verdict is WriteVerdict.APPLIED:
            return body
        if verdict is WriteVerdict.REFUSED:
            raise refusal()
        raise OutcomeUnknown(
            provider,
            provider_code=f"HTTP_{reply.status}",
            provider_request_id=request_id_of(reply),
            is_in_flight=reply.status not in self.over,
        )


async def require_done(unknown: OutcomeUnknown, is_done: Callable[[], Awaitable[bool]]) -> None:
    """Resolve an unknown write by the vault's list. Raises `unknown` if the list does not show that it was done, or
    cannot be read.
    """
    with suppress(VaultError):
        if await is_done():
            return
    raise unknown


def decoded(reply: VaultReply) -> Any:
    """The JSON value of the body, None if it is empty, or the bytes if they are not JSON."""
    if not reply.body.strip():
        return None
    try:
        return reply.json()
    except ValueError:
        return reply.body


def _fits(shape: Shape | None, body: Any) -> bool:
    try:
        return shape is not None and shape(body)
    except SHAPE_ERRORS:
        return False
