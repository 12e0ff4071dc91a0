"""Payment methods of one profile: add, update, default, delete. Works on a draft that the caller commits or drops.

A profile in the state: ``{merchant, external_id, wire, methods, default, addresses, communication}``. A method:
``{kind, wire, first6, three_ds}``; ``wire`` is what every reply shows of it. No number is stored.
"""

import copy
import hashlib
import secrets
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from app.sandbox.base import Json
from app.sandbox.checks import place
from app.sandbox.jpmorgan.answers import JpMorganRefusal, Rule, ValidationFault, check, invalid
from app.sandbox.jpmorgan.fields import ACCOUNT_STATUS, ADDRESS, BROWSER_INFO, MANDATE, take
from app.sandbox.jpmorgan.kinds import DIGITS_16, KINDS, NOT_IN_AN_UPDATE, THREE_DS_DATA, WALLETS, Kind

_ORDER: Final = ("paymentMethodId", "cardExpirationMonthYearNumber", "last4CardNumber", "last4AccountNumber")


class Adding:
    """One request's additions to one profile draft; `faults` collects the errors of all of them."""

    def __init__(self, profile: Json, *, strict_pan: bool, year: int, orchestrate: Callable[[str], str]) -> None:
        self.profile = profile
        self.faults: list[ValidationFault] = []
        self._strict_pan = strict_pan
        self._year = year
        self._orchestrate = orchestrate

    def check_browser(self, body: Json) -> None:
        """`browserInfo` stands beside the lists, also when a profile is created. It is checked and dropped."""
        given = body.get("browserInfo")
        if given is None:
            return
        if isinstance(given, dict):
            take(given, BROWSER_INFO, "browserInfo", self.faults)
        else:
            self.faults.append(ValidationFault("browserInfo", "must be an object"))

    def all_of(self, body: Json, at: str = "") -> int:
        """Add every list, wallet bundle and `defaultMOP` in `body`, all or nothing; returns the number of methods
        added.
        """
        status = body.get("accountStatus")
        if status is not None and (wrong := ACCOUNT_STATUS(status)) is not None:
            self.faults.append(ValidationFault(place(at, "accountStatus"), wrong))
        added: list[tuple[Json, str]] = []
        for kind in KINDS.values():
            for index, entry in enumerate(self._entries(body, kind.plural, at)):
                source = entry if status is None or "accountStatus" in entry else {**entry, "accountStatus": status}
                added.append((entry, self._one(kind, source, place(at, f"{kind.plural}[{index}]"))))
        for word, wallet in WALLETS.items():
            if body.get(word) is not None:
                added.append(({}, self._from_wallet(body[word], wallet, place(at, word), status or "ACTIVE")))
        self._default_of(body.get("defaultMOP"), added, place(at, "defaultMOP"))
        return len(added)

    def _entries(self, body: Json, name: str, at: str) -> list[Json]:
        entries = body.get(name)
        if entries is None:
            return []
        if not (isinstance(entries, list) and entries and all(isinstance(entry, dict) for entry in entries)):
            self.faults.append(ValidationFault(place(at, name), "must be a list of at least one object"))
            return []
        return entries

    def _one(self, kind: Kind, source: Json, at: str) -> str:
        if self._strict_pan and kind.word == "card" and (wrong := DIGITS_16(source.get("accountNumber"))) is not None:
            self.faults.append(ValidationFault(place(at, "accountNumber"), wrong))
        secret = take(source, kind.dropped, at, self.faults, needed=kind.needed)
        shown = take(source, {**kind.editable, **kind.fixed}, at, self.faults)
        number = str(secret.get(kind.number, ""))
        method_id = str(uuid4())
        wire: Json = {"paymentMethodId": method_id, kind.last4: number[-4:], "accountStatus": "ACTIVE", **shown}
        if not self.faults:
            _stored_form(wire)
        address = place_address(self.profile, source, at, self.faults)
        if address is not None:
            wire["addressIdentifier"] = address
        method: Json = {"kind": kind.word, "wire": wire, "first6": number[:6] if kind.word == "card" else None}
        if "authenticationRequest" in secret:
            self._ask_for_authentication(method, secret["authenticationRequest"])
        method["wire"] = {**{name: wire[name] for name in _ORDER if name in wire}, **wire}
        self.profile["methods"].append(method)
        return method_id

    def _ask_for_authentication(self, method: Json, request: Any) -> None:
        options = request if isinstance(request, dict) else {}
        authentication = str(uuid4())
        result = {
            "authenticationId": authentication,
            "authenticationOrchestrationUrl": self._orchestrate(authentication),
        }
        if "authenticationReturnUrl" in options:
            result["authenticationReturnUrl"] = options["authenticationReturnUrl"]
        method["wire"]["accountStatus"] = "PENDING"
        method["wire"]["authenticationResult"] = result
        method["three_ds"] = {"authenticationId": authentication, "is_awaited": True, "status": None}

    def _from_wallet(self, bundle: Any, wallet: str, at: str, status: str) -> str:
        """Turn a wallet bundle into a device-token card. The bundle is encrypted, so the digits are made up."""
        if not (isinstance(bundle, dict) and bundle):
            self.faults.append(ValidationFault(at, "must be an object"))
            return ""
        payload = bundle.get("encryptedPaymentBundle")
        if not (isinstance(payload, dict) and isinstance(payload.get("encryptedPayload"), str)):
            self.faults.append(ValidationFault(place(at, "encryptedPaymentBundle.encryptedPayload"), "is required"))
            return ""
        digits = str(int(hashlib.sha256(repr(sorted(bundle.items())).encode()).hexdigest(), 16))[-4:]
        wire = {
            "paymentMethodId": str(uuid4()),
            "cardExpirationMonthYearNumber": f"12/{self._year + 3}",
            "last4CardNumber": digits,
            "accountStatus": status,
            "cardType": "VI",
            "accountNumberType": "DEVICE_TOKEN",
            "walletProvider": wallet,
        }
        self.profile["methods"].append({"kind": "card", "wire": wire, "first6": None})
        return str(wire["paymentMethodId"])

    def _default_of(self, named: Any, added: list[tuple[Json, str]], at: str) -> None:
        """`defaultMOP` names an equal entry of the same request, otherwise adds its method too (assumed)."""
        if named is None:
            return
        if not (isinstance(named, dict) and len(named) == 1 and next(iter(named)) in KINDS):
            self.faults.append(ValidationFault(at, "must hold one of " + ", ".join(KINDS)))
            return
        [(word, entry)] = named.items()
        if not isinstance(entry, dict):
            self.faults.append(ValidationFault(place(at, word), "must be an object"))
            return
        known = [method_id for source, method_id in added if source == entry]
        if not known:
            known = [self._one(KINDS[word], entry, place(at, word))]
            added.append((entry, known[0]))
        self.profile["default"] = known[0]


def _stored_form(wire: Json) -> None:
    """Nested fields as replies show them: known ones only, references added, `threeDSTransactionId` renamed."""
    if "mandateList" in wire:
        wire["mandateList"] = [
            {**{name: entry[name] for name in MANDATE}, "mandateReferenceId": f"{secrets.randbelow(10**8):08d}"}
            for entry in wire["mandateList"]
        ]
    if "threeDSAuthenticatedData" in wire:
        given = wire["threeDSAuthenticatedData"]
        shown = {"threeDSTransactionId": "transactionId"}
        wire["threeDSAuthenticatedData"] = {
            shown.get(name, name): given[name] for name in THREE_DS_DATA if given.get(name) is not None
        }


def place_address(profile: Json, source: Json, at: str, faults: list[ValidationFault]) -> str | None:
    """A method's address id: an inline address always creates a record and overrides a named one (assumed)."""
    inline = source.get("consumerProfileAddress")
    if inline is not None:
        return add_address(profile, inline, place(at, "consumerProfileAddress"), faults)
    named = source.get("addressIdentifier")
    if named is None:
        return None
    if named not in [address["addressIdentifier"] for address in profile["addresses"]]:
        faults.append(ValidationFault(place(at, "addressIdentifier"), "is not an address of this profile"))
        return None
    return str(named)


def add_address(profile: Json, source: Any, at: str, faults: list[ValidationFault]) -> str | None:
    if not isinstance(source, dict):
        faults.append(ValidationFault(at, "must be an object"))
        return None
    fields = take(source, ADDRESS, at, faults, needed=("addressType",))
    address = {"addressIdentifier": str(uuid4()), **fields}
    profile["addresses"].append(address)
    return str(address["addressIdentifier"])


def method_of(profile: Json, method_id: str) -> Json:
    for method in profile["methods"]:
        if method["wire"]["paymentMethodId"] == method_id:
            found: Json = method
            return found
    raise JpMorganRefusal(Rule.NO_SUCH_METHOD)


def update_method(profile: Json, method_id: str, body: Json) -> None:
    """Change the updatable fields of one method; the body names its kind. A new address leaves the old one listed."""
    method = method_of(profile, method_id)
    kind = KINDS[method["kind"]]
    if [word for word in KINDS if word in body] != [kind.word] or not isinstance(body[kind.word], dict):
        raise invalid("", f"must hold exactly the object {kind.word}")
    change: Json = {"accountStatus": body.get("accountStatus"), **body[kind.word]}
    faults = [
        ValidationFault(place(kind.word, name), "cannot be changed")
        for name in NOT_IN_AN_UPDATE
        if change.get(name) is not None
    ]
    fields = take(change, kind.editable, kind.word, faults)
    address = place_address(profile, change, kind.word, faults)
    check(faults)
    _stored_form(fields)
    if address is not None:
        fields["addressIdentifier"] = address
    method["wire"].update(copy.deepcopy(fields))


def set_default(profile: Json, method_id: str) -> None:
    if method_of(profile, method_id)["wire"]["accountStatus"] == "INACTIVE":
        raise JpMorganRefusal(Rule.METHOD_INACTIVE)
    profile["default"] = method_id


def delete_method(profile: Json, method_id: str) -> None:
    """Its addresses are kept; deleting the default leaves no default (assumed)."""
    profile["methods"].remove(method_of(profile, method_id))
    if profile["default"] == method_id:
        profile["default"] = None


def first_default(profile: Json) -> str | None:
    """A new profile's default if none is named: the first card, then ACH, SEPA, BACS."""
    for word in KINDS:
        for method in profile["methods"]:
            if method["kind"] == word:
                return str(method["wire"]["paymentMethodId"])
    return None
