"""`POST /webhooks/{vault}/...`: verified on the raw bytes, stored, then acknowledged.

`app.wallet.changes.webhook_worker` processes the stored deliveries. The vaults' packages verify and parse them.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route

from app.api.headers import connection_of
from app.api.response import HttpResponse, encode
from app.store.errors import StoreUnavailable
from app.store.records import NewDelivery
from app.telemetry.logs import LINES
from app.vault.webhooks import WebhookDelivery, WebhookRejected, WebhookSender

_LONGEST_BODY: Final = 256_000

Keep = Callable[[NewDelivery], Awaitable[None]]


class WebhookReceiver:
    """The route below ``/webhooks/``. `senders` are keyed by the first part of the path."""

    def __init__(
        self,
        senders: Mapping[str, WebhookSender],
        keep: Keep,
        on_old_secret: Callable[[str, int], None] = lambda name, number: None,
    ) -> None:
        """`on_old_secret` is called with the sender's name and the index of a secret that is not the first."""
        self.senders = dict(senders)
        self._keep = keep
        self._on_old_secret = on_old_secret

    def route(self) -> Route:
        return Route("/webhooks/{sender}{path:path}", self._receive, methods=["POST"], max_body_size=_LONGEST_BODY)

    async def _receive(self, request: Request) -> HttpResponse:
        began, name, delivery_id, reason = time.monotonic(), request.path_params["sender"], None, None
        response = HttpResponse(200, encode({"received": True}))
        try:
            delivery_id = await self._accept(name, request)
        except StoreUnavailable:  # the sender retries
            reason = "Try again later."
            response = HttpResponse(503, encode({"error": reason}), headers={"retry-after": "1"})
        except WebhookRejected as rejected:
            reason = str(rejected)
            response = HttpResponse(rejected.status, encode({"error": reason}), headers=rejected.headers)
        except ClientDisconnect:
            reason = "The sender disconnected."
            response = HttpResponse(400, encode({"error": reason}))
        if LINES.info is not None:
            LINES.info(
                "webhook",
                vault=name if name in self.senders else None,
                delivery_id=delivery_id,
                status=response.status,
                reason=reason,
                duration_ms=int((time.monotonic() - began) * 100_000) / 100,
            )
        return response

    async def _accept(self, name: str, request: Request) -> str | None:
        """Verify and store a delivery; its id, None if there is nothing to process. Raises WebhookRejected."""
        sender = self.senders.get(name)
        if sender is None:
            raise WebhookRejected(404, "No such sender.")
        headers = _headers(request.headers.raw, sender)
        path = request.path_params["path"].removeprefix("/")
        read = await sender.admit(path, headers)  # before the body is read: unknown senders are refused here
        delivery = read(await request.body())
        if (connection := connection_of(request.scope)) is not None:
            connection.authenticated(f"webhooks:{name}")
        if delivery is None:
            return None
        if delivery.secret_number:
            self._on_old_secret(name, delivery.secret_number)
        await self._keep(_receipt(name, delivery))
        return delivery.delivery_id


def _receipt(name: str, delivery: WebhookDelivery) -> NewDelivery:
    return NewDelivery(
        source=name,
        account=delivery.account,
        delivery_id=delivery.delivery_id,
        event_type=delivery.event_type,
        lane=f"{name}:{delivery.lane or delivery.delivery_id}",
        body=delivery.facts,
    )


def _headers(raw: Iterable[tuple[bytes, bytes]], sender: WebhookSender) -> dict[str, str]:
    """Headers by lower-case name, aliases resolved. Raises WebhookRejected if a header that the signature depends on is
    repeated, since servers differ in which value they use.
    """
    aliases, single = sender.header_aliases, sender.single_headers
    found: dict[str, str] = {}
    for name_bytes, value in raw:
        name = name_bytes.decode("latin-1").lower()
        name = aliases.get(name, name)
        if name in found and name in single:
            raise WebhookRejected(400, f"The header {name} must not be sent twice.")
        found[name] = value.decode("latin-1")
    return found
