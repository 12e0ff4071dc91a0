"""J.P. Morgan Consumer Profile Management emulator over HTTP: authentication, paths, and the challenge page."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.sandbox.base import Json, SandboxClock, Switch
from app.sandbox.jpmorgan import three_ds
from app.sandbox.jpmorgan.answers import ADFS_ERROR, JpMorganRefusal, Rule, invalid
from app.sandbox.jpmorgan.api import JpMorganApi, JpMorganRequest, Operation
from app.sandbox.jpmorgan.demo import MERCHANT, OTHER_MERCHANT, demo_profiles
from app.sandbox.jpmorgan.profiles import stamp
from app.sandbox.jpmorgan.tokens import CLIENT_ID, CLIENT_SECRET, RESOURCE, AssertionKey, authenticate
from app.sandbox.json_api import TOKEN_PATH, JsonApiEmulator, Malformed, SandboxRefusal, json_reply
from app.sandbox.oauth import LIFETIME_SWITCH, REVOKE_SWITCH, TokenRefused, bearer_headers, read_form

BASE_PATH: Final = "/api/v2/mmp"


class JpMorganEmulator(JsonApiEmulator):
    """Profiles, payment methods, addresses, communication and 3-D Secure status.

    A reset restores profiles and switches; the client's key and issued tokens survive it.
    """

    name: ClassVar[str] = "jpmorgan"
    guarded: ClassVar[tuple[str, ...]] = (BASE_PATH + "/",)
    client_id: ClassVar[str] = CLIENT_ID
    switches: ClassVar[Mapping[str, Switch]] = {
        "PROFILE_ID": Switch(
            ("generated", "external"),
            "`consumerProfileId` of a new profile: six characters, or the upper-cased external id.",
        ),
        "PAN_LENGTH": Switch(
            ("13_to_19", "exactly_16"), "Card number lengths: those of the networks, or of the schema."
        ),
        "FIRST_SIX": Switch(("omitted", "shown"), "Whether cards show `first6CardNumber`."),
        "ADDRESSES_AFTER_DEFAULT": Switch(
            ("kept", "in_use"),
            "Addresses after a default was set: all, or those that a payment method uses. The samples disagree.",
        ),
        "TOKEN_EXPIRES_IN": LIFETIME_SWITCH,
        "REVOKE_TOKENS": REVOKE_SWITCH,
    }

    def __init__(self, clock: SandboxClock) -> None:
        super().__init__(clock)
        self._key = AssertionKey(self)

    def reset(self) -> None:
        client_key = self.state.get("client_key")
        super().reset()
        if client_key is not None:
            self.state["client_key"] = client_key

    def demo_state(self) -> Json:
        kinds = ["card", "ach", "sepa", "bacs"]
        return {
            "merchants": {MERCHANT: {"kinds": kinds}, OTHER_MERCHANT: {"kinds": kinds[:2]}},
            "profiles": demo_profiles(),
            "imports": {},
            "used_assertions": {},
        }

    def credentials(self, base_url: str) -> Json:
        root = f"{base_url.rstrip('/')}/{self.name}"
        return {
            "base_url": root + BASE_PATH,
            "headers": bearer_headers(self.lasting_token(), {"merchantIdentifier": MERCHANT}),
            "token_url": root + TOKEN_PATH,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "resource": RESOURCE,
            "private_key": self._key.private_pem,
            "key_id": self._key.key_id,
            "merchant_identifier": MERCHANT,
            "other_merchant_identifier": OTHER_MERCHANT,
        }

    def held(self, customer_ref: str) -> list[Json] | None:
        for merchant in self.state["merchants"]:
            profile = self.state["profiles"].get(f"{merchant}/{customer_ref}")
            if profile is not None:
                return [_held(method, profile["default"]) for method in profile["methods"]]
        return None

    def set_three_ds(self, payment_method_id: str, status: str) -> bool:
        """Set a card's result: SUCCESS, DENIED, ERROR or NONE. False for an unknown card; ValueError otherwise."""
        if status not in (*three_ds.OUTCOMES, "NONE"):
            raise ValueError("status must be SUCCESS, DENIED, ERROR or NONE")
        method = three_ds.find(self.state, method_id=payment_method_id)
        if method is None or method["kind"] != "card":
            return False
        three_ds.decide(method, status, stamp(self.clock.now()))
        self.touch()
        return True

    def operations(self) -> Iterable[tuple[str, str, Operation, bool]]:
        for verb, path, operation, has_body in JpMorganApi(self).operations():
            yield verb, BASE_PATH + path, operation, has_body

    def pages(self) -> Iterable[BaseRoute]:
        yield Route("/three-ds/{authentication}", self._challenge, methods=["GET", "POST"])

    def admit(self, headers: Headers, path: str) -> None:
        if self.desk.check(headers.get("authorization")) is None:
            raise SandboxRefusal(401, ADFS_ERROR)
        merchant = headers.get("merchantidentifier", "").strip()
        if path != BASE_PATH + "/healthcheck" and merchant not in self.state["merchants"]:
            raise (
                JpMorganRefusal(Rule.MERCHANT_NOT_ENTITLED)
                if merchant
                else invalid("merchantIdentifier", "is required")
            )

    def answer(self, request: Request, operation: Operation, body: Json) -> Response:
        merchant = request.headers.get("merchantidentifier", "").strip()
        parsed = JpMorganRequest(merchant, request.path_params, body, request.headers, self.root_of(request))
        return json_reply(operation(parsed))

    def grant(self, request: Request, form: Mapping[str, str]) -> None:
        authenticate(
            form,
            request.headers.get("authorization"),
            key=self._key,
            audience=self.root_of(request) + TOKEN_PATH,
            used=self.state["used_assertions"],
        )

    def refusal(self, why: Malformed) -> SandboxRefusal:
        match why:
            case Malformed.NO_SUCH_PATH:
                return JpMorganRefusal(Rule.NO_SUCH_PATH)
            case Malformed.WRONG_VERB:
                return JpMorganRefusal(Rule.WRONG_VERB)
            case Malformed.NOT_JSON_TYPE:
                return invalid("Content-Type", "must be application/json")
            case Malformed.NOT_JSON:
                return invalid("", "is not JSON")
            case Malformed.NOT_AN_OBJECT:
                return invalid("", "must be an object")

    async def _challenge(self, request: Request) -> Response:
        raw = await request.body()
        method = three_ds.find(self.state, authentication_id=request.path_params["authentication"])
        if method is None:
            return HTMLResponse("Not found", 404)
        if request.method != "POST" or method["three_ds"]["status"] is not None:
            return HTMLResponse(three_ds.challenge_page(method))
        try:
            outcome = read_form(request.headers.get("content-type", ""), raw).get("outcome")
        except TokenRefused:
            outcome = None
        if outcome not in three_ds.OUTCOMES:
            return HTMLResponse("Unknown outcome", 400)
        three_ds.decide(method, outcome, stamp(self.clock.now()))
        back = method["wire"].get("authenticationResult", {}).get("authenticationReturnUrl")
        return RedirectResponse(back, 303) if back else HTMLResponse(three_ds.challenge_page(method))


def _held(method: Json, default: str | None) -> Json:
    wire = method["wire"]
    return {
        "ref": wire["paymentMethodId"],
        "kind": "card" if method["kind"] == "card" else "bank",
        "last4": wire.get("last4CardNumber") or wire.get("last4AccountNumber"),
        "active": wire["accountStatus"] == "ACTIVE",
        "is_default": wire["paymentMethodId"] == default,
    }
