"""The control API at ``/__sandbox``, for tests and scripts."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.sandbox.base import Emulator, UnknownSwitch
from app.sandbox.control_guard import ControlForbidden, check
from app.sandbox.control_input import (
    BadControlInput,
    allow_only,
    body_of,
    fault_from,
    named_field,
    new_time,
    text,
    token_fields,
    without_digits,
)

if TYPE_CHECKING:
    from app.sandbox.server import Sandbox

Json = dict[str, Any]
_NOC_FIELDS = frozenset(
    {"provider", "saved_payment_method_ids", "exp_month", "exp_year", "last4", "deliveries", "signature"}
)


_PAYMENT_EVENT_FIELDS = frozenset(
    {"provider", "event_type", "payment_uid", "reference_id", "amount", "deliveries", "signature"}
)


@runtime_checkable
class HasThreeDs(Protocol):
    """An emulator whose 3-D Secure results can be set."""

    def set_three_ds(self, payment_method_id: str, status: str) -> bool:
        """False for an unknown card; ValueError for an unknown status."""


@runtime_checkable
class SendsWebhooks(Protocol):
    """An emulator that sends webhooks."""

    def set_callback(self, url: str | None) -> None:
        """None turns webhooks off; ValueError for an invalid address."""

    def notify_of_change(self, fields: Json) -> Json:
        """Change saved methods as the network would, and queue one event: `{changed, event_id}`; ValueError."""

    def notify_of_payment(self, fields: Json) -> Json:
        """Change a payment outside the API, and queue one event: `{payment_uid, event_id}`; ValueError."""

    async def deliver_due(self) -> int:
        """Send what is due by the sandbox clock; returns the number of accepted deliveries."""


class _NotFound(Exception):
    """The path or a field names something unknown; the message is shown."""


def control_app(sandbox: "Sandbox") -> ASGIApp:
    control = _Control(sandbox)
    routes = [
        Route("/reset", control.reset, methods=["POST"]),
        Route("/calls", control.calls, methods=["GET"]),
        Route("/calls", control.forget_calls, methods=["DELETE"]),
        Route("/faults", control.faults, methods=["GET"]),
        Route("/faults", control.add_fault, methods=["POST"]),
        Route("/faults", control.remove_faults, methods=["DELETE"]),
        Route("/faults/{fault_id}", control.remove_fault, methods=["DELETE"]),
        Route("/clock", control.clock, methods=["GET"]),
        Route("/clock", control.set_clock, methods=["POST"]),
        Route("/tokens", control.mint_token, methods=["POST"]),
        Route("/credentials", control.credentials, methods=["GET"]),
        Route("/customers/{provider}/{customer_ref:path}", control.held, methods=["GET"]),
        Route("/switches", control.switches, methods=["GET"]),
        Route("/switches", control.set_switch, methods=["POST"]),
        Route("/three-ds", control.set_three_ds, methods=["POST"]),
        Route("/webhooks", control.set_callback, methods=["POST"]),
        Route("/noc", control.notify_of_change, methods=["POST"]),
        Route("/payment-events", control.notify_of_payment, methods=["POST"]),
    ]
    handlers: Any = {BadControlInput: _bad_input, _NotFound: _not_found, HTTPException: _http_error}
    return _guarded(Starlette(routes=routes, exception_handlers=handlers))


def _guarded(app: ASGIApp) -> ASGIApp:
    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check(Headers(scope=scope))
        except ControlForbidden as error:
            await _complaint(str(error), error.status)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guarded


class _Control:
    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    async def reset(self, request: Request) -> Response:
        self._sandbox.reset()
        return _reply({"reset": True})

    async def calls(self, request: Request) -> Response:
        provider = self._asked_provider(request)
        log = self._sandbox.calls
        return _reply(log.shown(provider), headers={"x-calls-forgotten": str(log.forgotten)})

    async def forget_calls(self, request: Request) -> Response:
        self._sandbox.calls.clear()
        return _reply({"cleared": True})

    async def faults(self, request: Request) -> Response:
        return _reply(self._sandbox.faults.shown())

    async def add_fault(self, request: Request) -> Response:
        body = await body_of(request)
        self._emulator(text(body, "provider"))
        return _reply(self._sandbox.faults.add(fault_from(body)))

    async def remove_faults(self, request: Request) -> Response:
        return _reply({"removed": self._sandbox.faults.remove(self._asked_provider(request))})

    async def remove_fault(self, request: Request) -> Response:
        if not self._sandbox.faults.remove(fault_id=request.path_params["fault_id"]):
            raise _NotFound("There is no such fault.")
        return _reply({"removed": 1})

    async def clock(self, request: Request) -> Response:
        return _reply({"now": self._sandbox.clock.now().isoformat()})

    async def set_clock(self, request: Request) -> Response:
        clock = self._sandbox.clock
        clock.set(new_time(await body_of(request), clock.now()))
        return await self.clock(request)

    async def mint_token(self, request: Request) -> Response:
        body = await body_of(request)
        emulator = self._emulator(text(body, "provider"))
        if type(emulator).mint_token is Emulator.mint_token:
            raise BadControlInput("provider", f"{emulator.name} mints no browser tokens.")
        fields = token_fields(body)
        try:
            return _reply(emulator.mint_token(fields))
        except ValueError as error:
            complaint = without_digits(str(error))
            raise BadControlInput(named_field(complaint), complaint) from None

    async def credentials(self, request: Request) -> Response:
        own_address = f"{request.url.scheme}://{request.url.netloc}"
        shown = {name: emulator.credentials(own_address) for name, emulator in self._sandbox.emulators.items()}
        return _reply(shown)

    async def held(self, request: Request) -> Response:
        emulator = self._emulator(request.path_params["provider"])
        methods = emulator.held(request.path_params["customer_ref"])
        if methods is None:
            raise _NotFound(f"{emulator.name} has no such customer: see `links {{ customerRef }}` in the graph.")
        # A vault without defaults reports null; scripts always get a boolean.
        return _reply([{**method, "is_default": bool(method["is_default"])} for method in methods])

    async def switches(self, request: Request) -> Response:
        return _reply(
            {
                provider: {
                    name: {
                        "value": emulator.switch(name),
                        "default": known.default,
                        "allowed": list(known.allowed),
                        "about": known.about,
                    }
                    for name, known in emulator.switches.items()
                }
                for provider, emulator in self._sandbox.emulators.items()
            }
        )

    async def set_switch(self, request: Request) -> Response:
        body = await body_of(request)
        allow_only(body, frozenset({"provider", "name", "value"}))
        emulator = self._emulator(text(body, "provider"))
        name = text(body, "name")
        known = emulator.switches.get(name)
        if known is None:
            raise BadControlInput("name", f"{emulator.name} has the switches: {' '.join(emulator.switches) or 'none'}.")
        try:
            value = _switch_word(body.get("value"))
            emulator.set_switch(name, value)
        except UnknownSwitch:
            raise BadControlInput("value", f"{name} takes one of {' '.join(known.allowed)}.") from None
        emulator.touch()
        return _reply({"provider": emulator.name, "name": name, "value": value})

    async def set_three_ds(self, request: Request) -> Response:
        body = await body_of(request)
        allow_only(body, frozenset({"payment_method_id", "status"}))
        method_id, status = text(body, "payment_method_id"), text(body, "status")
        for emulator in self._sandbox.emulators.values():
            if isinstance(emulator, HasThreeDs):
                try:
                    is_set = emulator.set_three_ds(method_id, status)
                except ValueError as error:
                    raise BadControlInput("status", without_digits(str(error))) from None
                if is_set:
                    return _reply({"payment_method_id": method_id, "status": status})
        raise _NotFound("No vault with 3-D Secure has such a card.")

    async def set_callback(self, request: Request) -> Response:
        body = await body_of(request)
        allow_only(body, frozenset({"provider", "url"}))
        url = text(body, "url") if "url" in body else None
        try:
            self._sender(body).set_callback(url)
        except ValueError as error:
            raise BadControlInput("url", str(error)) from None
        return _reply({"provider": body["provider"], "url": url})

    async def notify_of_change(self, request: Request) -> Response:
        body = await body_of(request)
        return self._notify(body, _NOC_FIELDS, self._sender(body).notify_of_change)

    async def notify_of_payment(self, request: Request) -> Response:
        body = await body_of(request)
        return self._notify(body, _PAYMENT_EVENT_FIELDS, self._sender(body).notify_of_payment)

    def _notify(self, body: Json, known: frozenset[str], notify: Callable[[Json], Json]) -> Response:
        allow_only(body, known)
        try:
            return _reply(notify(body))
        except ValueError as error:
            complaint = str(error)
            field = complaint.partition(" ")[0]
            raise BadControlInput(field if field in known else "", complaint) from None

    def _sender(self, body: Json) -> SendsWebhooks:
        emulator = self._emulator(text(body, "provider"))
        if not isinstance(emulator, SendsWebhooks):
            raise BadControlInput("provider", f"{emulator.name} sends no webhooks.")
        return emulator

    def _emulator(self, provider: str) -> Emulator:
        emulator = self._sandbox.emulators.get(provider)
        if emulator is None:
            raise _NotFound(f"There is no such provider; valid names are {' '.join(self._sandbox.emulators)}.")
        return emulator

    def _asked_provider(self, request: Request) -> str | None:
        provider = request.query_params.get("provider")
        return self._emulator(provider).name if provider else None


def _switch_word(value: Any) -> str:
    """Switch values are strings; scripts may also send 1, 0, true and false for those that are digits."""
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def _reply(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def _complaint(message: str, status: int, field: str = "") -> Response:
    return _reply({"error": message, "field": field} if field else {"error": message}, status)


async def _bad_input(_request: Request, error: BadControlInput) -> Response:
    return _complaint(str(error), 400, error.field)


async def _not_found(_request: Request, error: _NotFound) -> Response:
    return _complaint(str(error), 404)


async def _http_error(_request: Request, error: HTTPException) -> Response:
    return _complaint(error.detail, error.status_code)
