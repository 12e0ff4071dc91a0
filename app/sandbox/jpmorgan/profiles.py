"""Profiles in the state: find, create, change, delete, show. Every change is made on a draft, then committed."""

import copy
import secrets
import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from app.sandbox.base import Json, SandboxClock
from app.sandbox.checks import place
from app.sandbox.jpmorgan.answers import JpMorganRefusal, Rule, ValidationFault
from app.sandbox.jpmorgan.fields import EXTERNAL_ID, PROFILE, take
from app.sandbox.jpmorgan.kinds import KINDS

_ID_CHARACTERS: Final = string.ascii_uppercase + string.digits
_PROFILE_ORDER: Final = (
    "consumerProfileId",
    "consumerProfileUniqueId",
    "cardOnFileReferenceNumber",
    "merchant",
    "firstName",
    "lastName",
    "fullName",
)


def signs(count: int) -> str:
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(count))


class ProfileStore:
    """All profiles by merchant and id; another merchant's profile counts as unknown (assumed: 404, not 403)."""

    def __init__(self, state: Json, clock: SandboxClock) -> None:
        self._state = state
        self._clock = clock

    @property
    def _all(self) -> Json:
        profiles: Json = self._state["profiles"]
        return profiles

    def find(self, merchant: str, profile_id: str) -> Json:
        profile: Json | None = self._all.get(f"{merchant}/{profile_id}")
        if profile is None:
            raise JpMorganRefusal(Rule.NO_SUCH_PROFILE)
        return profile

    def draft(self, merchant: str, profile_id: str) -> Json:
        return copy.deepcopy(self.find(merchant, profile_id))

    def commit(self, profile: Json, user: str | None) -> None:
        """Store a changed draft; `updateTimestamp` always increases. A new profile's is that of its creation."""
        latest = self._clock.now()
        previous = profile["wire"].get("updateTimestamp")
        if previous is None:
            latest = datetime.fromisoformat(profile["wire"]["createTimestamp"])
        else:
            latest = max(latest, datetime.fromisoformat(previous) + timedelta(milliseconds=1))
        profile["wire"]["updateTimestamp"] = stamp(latest)
        if user:
            profile["wire"]["updateUserIdentifier"] = user
        self._all[f"{profile['merchant']}/{profile['wire']['consumerProfileId']}"] = profile

    def remove(self, merchant: str, profile_id: str) -> None:
        self.find(merchant, profile_id)
        del self._all[f"{merchant}/{profile_id}"]

    def external_id(
        self, merchant: str, source: Json, faults: list[ValidationFault], *, own: Json | None = None
    ) -> str | None:
        """A request's upper-cased external id; a duplicate within the merchant is an error (assumed)."""
        name = "externalConsumerProfileIdentifier"
        given = take(source, {name: EXTERNAL_ID}, "", faults, needed=() if own else (name,)).get(name)
        if given is None:
            return None
        wanted = str(given).upper()
        for profile in self._all.values():
            if profile["merchant"] == merchant and profile["external_id"] == wanted:
                if own is None or profile["wire"]["consumerProfileId"] != own["wire"]["consumerProfileId"]:
                    faults.append(ValidationFault(name, "is already used"))
                break
        return wanted

    def blank(self, merchant: str, external_id: str | None, *, id_is_external: bool) -> Json:
        """A new profile, invisible until committed."""
        profile_id = external_id if id_is_external and external_id else signs(6)
        while f"{merchant}/{profile_id}" in self._all and not id_is_external:
            profile_id = signs(6)
        wire = {"consumerProfileId": profile_id, "consumerProfileUniqueId": f"JPMCW-{signs(16)}"}
        return {
            "merchant": merchant,
            "external_id": external_id,
            "wire": {**wire, "createTimestamp": stamp(self._clock.now()), "profileStatus": "ACTIVE"},
            "methods": [],
            "default": None,
            "addresses": [],
            "communication": {},
        }


def stamp(instant: datetime) -> str:
    """``2024-07-02T09:38:54.781Z``, this API's only time format."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def change_fields(profile: Json, source: Json, faults: list[ValidationFault]) -> None:
    profile["wire"].update(take(source, PROFILE, "", faults))


def entitled(profile: Json, kinds: list[str]) -> None:
    """Refuse a draft with a kind the merchant may not use."""
    foreign = [method["kind"] for method in profile["methods"] if method["kind"] not in kinds]
    if foreign:
        raise JpMorganRefusal(
            Rule.KIND_NOT_ENTITLED, [ValidationFault(place("", KINDS[word].plural), "not entitled") for word in foreign]
        )


def show(profile: Json, headers: Mapping[str, str], *, first_six: bool) -> Json:
    """The whole profile, as every operation returns it, without numbers, IBANs and the external id."""
    wire = profile["wire"]
    shown: Json = {"requestId": headers["requestidentifier"]} if headers.get("requestidentifier") else {}
    shown.update({name: wire[name] for name in _PROFILE_ORDER if name in wire})
    if profile["communication"]:
        shown["communication"] = profile["communication"]
    shown["paymentMethodType"] = _methods(profile, first_six)
    if profile["addresses"]:
        shown["addresses"] = profile["addresses"]
    correlation = headers.get("correlationidentifier") or wire.get("correlationIdentifier")
    if correlation:
        shown["correlationIdentifier"] = correlation
    rest = ("createTimestamp", "createUserIdentifier", "updateTimestamp", "updateUserIdentifier")
    shown.update({name: wire[name] for name in (*rest, "profileStatus", "orderOverrideCode") if name in wire})
    return shown


def _methods(profile: Json, first_six: bool) -> Json:
    """Empty lists are omitted (from the published examples)."""
    lists: Json = {}
    default: Json | None = None
    for word, kind in KINDS.items():
        for method in profile["methods"]:
            if method["kind"] != word:
                continue
            wire = dict(method["wire"])
            if first_six and method.get("first6"):
                wire["first6CardNumber"] = method["first6"]
            lists.setdefault(kind.plural, []).append(wire)
            if wire["paymentMethodId"] == profile["default"]:
                default = {word: wire}
    return {**lists, "defaultMOP": default} if default else lists


def new_correlation() -> str:
    return str(uuid4())
