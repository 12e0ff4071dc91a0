"""The profile operations. Each is one synchronous step from request to reply, so none can interleave."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from app.sandbox.base import Emulator, Json
from app.sandbox.checks import text
from app.sandbox.jpmorgan import contacts, methods, profiles, three_ds
from app.sandbox.jpmorgan.answers import JpMorganRefusal, Rule, ValidationFault, check, invalid
from app.sandbox.jpmorgan.fields import record, take
from app.sandbox.jpmorgan.profiles import ProfileStore

_SOFTWARE: Final = {"companyName": text(100), "productName": text(100), "version": text(20)}


@dataclass(frozen=True, slots=True)
class JpMorganRequest:
    """An authenticated request: caller, merchant, input. Header names are lower case."""

    merchant: str
    path: Mapping[str, str]
    body: Json
    headers: Mapping[str, str]
    base: str
    """The emulator's base URL, without a trailing slash."""


Operation = Callable[[JpMorganRequest], Json]


class JpMorganApi:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def operations(self) -> list[tuple[str, str, Operation, bool]]:
        """Method, path, handler, and whether the request has a body."""
        one = "/consumer-profiles/{profile}"
        method, address = one + "/payment-methods", one + "/addresses"
        talk = one + "/communication"
        return [
            ("GET", "/healthcheck", lambda request: {"status": "UP"}, False),
            ("GET", "/bulk-import/status", self.import_status, False),
            ("POST", "/consumer-profiles", self.create, True),
            ("GET", one, self.read, False),
            ("PATCH", one, self.update, True),
            ("DELETE", one, self.delete, False),
            ("POST", method, self.add_methods, True),
            ("GET", method + "/{method}/status", self.three_ds_status, False),
            ("PATCH", method + "/{method}/default", self.set_default, False),
            *(
                (verb, path, partial(self.change, change, has_body), has_body)
                for verb, path, change, has_body in (
                    ("PATCH", method + "/{method}", methods.update_method, True),
                    ("DELETE", method + "/{method}", methods.delete_method, False),
                    ("POST", address, _adds(methods.add_address), True),
                    ("PATCH", address + "/{address}", contacts.update_address, True),
                    ("DELETE", address + "/{address}", contacts.delete_address, False),
                    ("POST", talk, _adds(contacts.add_communication), True),
                    ("PATCH", talk + "/{communication}", contacts.update_communication, True),
                    ("PATCH", talk + "/{communication}/default", contacts.default_communication, False),
                    ("DELETE", talk + "/{communication}", contacts.delete_communication, False),
                )
            ),
        ]

    @property
    def _shelf(self) -> ProfileStore:
        return ProfileStore(self._emulator.state, self._emulator.clock)

    def _show(self, request: JpMorganRequest, profile: Json) -> Json:
        first_six = self._emulator.switch("FIRST_SIX") == "shown"
        return profiles.show(profile, request.headers, first_six=first_six)

    def _keep(self, request: JpMorganRequest, profile: Json) -> Json:
        self._shelf.commit(profile, request.headers.get("useridentifier"))
        return self._show(request, profile)

    def _draft(self, request: JpMorganRequest) -> Json:
        return self._shelf.draft(request.merchant, request.path["profile"])

    def _adding(self, request: JpMorganRequest, profile: Json) -> methods.Adding:
        return methods.Adding(
            profile,
            strict_pan=self._emulator.switch("PAN_LENGTH") == "exactly_16",
            year=self._emulator.clock.now().year,
            orchestrate=lambda authentication: f"{request.base}/three-ds/{authentication}",
        )

    def create(self, request: JpMorganRequest) -> Json:
        body = request.body
        faults: list[ValidationFault] = []
        shelf = self._shelf
        external = shelf.external_id(request.merchant, body, faults)
        by_external = self._emulator.switch("PROFILE_ID") == "external"
        profile = shelf.blank(request.merchant, external, id_is_external=by_external)
        profile["wire"]["correlationIdentifier"] = (
            request.headers.get("correlationidentifier") or profiles.new_correlation()
        )
        profiles.change_fields(profile, body, faults)
        _merchant_software(profile, body, faults)
        addresses = body.get("consumerProfileAddresses") or []
        if not isinstance(addresses, list):
            addresses = [addresses]
        for index, address in enumerate(addresses):
            methods.add_address(profile, address, f"consumerProfileAddresses[{index}]", faults)
        if body.get("communication") is not None:
            contacts.add_communication(profile, body["communication"], "communication", faults)
        self._first_methods(request, profile, body, faults)
        if user := request.headers.get("useridentifier"):
            profile["wire"]["createUserIdentifier"] = user
        return self._keep(request, profile)

    def _first_methods(
        self, request: JpMorganRequest, profile: Json, body: Json, faults: list[ValidationFault]
    ) -> None:
        at = "profilePaymentMethod"
        wanted = body.get(at)
        adding = self._adding(request, profile)
        adding.check_browser(body)
        if not isinstance(wanted, dict):
            faults.append(ValidationFault(at, "is required" if wanted is None else "must be an object"))
        elif adding.all_of(wanted, at) == 0 and not adding.faults:
            faults.append(ValidationFault(at, "must hold at least one payment method"))
        check([*faults, *adding.faults])
        self._check_entitlement(profile)
        profile["default"] = profile["default"] or methods.first_default(profile)

    def _check_entitlement(self, profile: Json) -> None:
        profiles.entitled(profile, self._emulator.state["merchants"][profile["merchant"]]["kinds"])

    def read(self, request: JpMorganRequest) -> Json:
        return self._show(request, self._shelf.find(request.merchant, request.path["profile"]))

    def update(self, request: JpMorganRequest) -> Json:
        profile = self._draft(request)
        faults: list[ValidationFault] = []
        external = self._shelf.external_id(request.merchant, request.body, faults, own=profile)
        profiles.change_fields(profile, request.body, faults)
        check(faults)
        profile["external_id"] = external or profile["external_id"]
        return self._keep(request, profile)

    def delete(self, request: JpMorganRequest) -> Json:
        self._shelf.remove(request.merchant, request.path["profile"])
        return {"responseStatus": "SUCCESS", "responseCode": "ACCEPTED", "responseMessage": "Request Accepted"}

    def add_methods(self, request: JpMorganRequest) -> Json:
        profile = self._draft(request)
        if profile["wire"].get("profileStatus") == "INACTIVE":
            raise JpMorganRefusal(Rule.PROFILE_INACTIVE)
        adding = self._adding(request, profile)
        adding.check_browser(request.body)
        if adding.all_of(request.body) == 0 and not adding.faults:
            raise invalid("", "must hold at least one payment method")
        check(adding.faults)
        self._check_entitlement(profile)
        return self._keep(request, profile)

    def set_default(self, request: JpMorganRequest) -> Json:
        profile = self._draft(request)
        methods.set_default(profile, request.path["method"])
        if self._emulator.switch("ADDRESSES_AFTER_DEFAULT") == "in_use":
            contacts.drop_unused_addresses(profile)
        return self._keep(request, profile)

    def change(self, change: Callable[..., None], has_body: bool, request: JpMorganRequest) -> Json:
        """Apply `change` to a draft of the profile, with the ids in the path and the body."""
        profile = self._draft(request)
        ids = [value for name, value in request.path.items() if name != "profile"]
        change(profile, *ids, *([request.body] if has_body else []))
        return self._keep(request, profile)

    def three_ds_status(self, request: JpMorganRequest) -> Json:
        profile = self._shelf.find(request.merchant, request.path["profile"])
        return three_ds.status_of(profile, request.path["method"], request.headers)

    def import_status(self, request: JpMorganRequest) -> Json:
        """Files are uploaded by SFTP, which is not emulated: only files in the state have a status."""
        missing = [
            name for name in ("merchantFileName", "submitterIdentifier") if not request.headers.get(name.lower())
        ]
        check([ValidationFault(name, "is required") for name in missing])
        status: Json | None = self._emulator.state["imports"].get(request.headers["merchantfilename"])
        if status is None:
            raise JpMorganRefusal(Rule.NO_SUCH_FILE)
        return copy.deepcopy(status)


def _adds(add: Callable[[Json, Any, str, list[ValidationFault]], object]) -> Callable[[Json, Json], None]:
    def change(profile: Json, body: Json) -> None:
        faults: list[ValidationFault] = []
        add(profile, body, "", faults)
        check(faults)

    return change


def _merchant_software(profile: Json, body: Json, faults: list[ValidationFault]) -> None:
    given: Any = body.get("merchant")
    if given is None:
        return
    wrong = record({"merchantSoftware": record(_SOFTWARE)})(given)
    if wrong is not None:
        faults.append(ValidationFault("merchant", wrong))
        return
    software = take(given.get("merchantSoftware") or {}, _SOFTWARE, "", faults)
    if software:
        profile["wire"]["merchant"] = {"merchantSoftware": software}
