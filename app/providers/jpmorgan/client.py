"""The adapter of J.P. Morgan Payments, Consumer Profile Management API 2.4.2."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Final, cast
from uuid import UUID, uuid5

from app.errors import (
    FieldFault,
    OutcomeUnknown,
    RejectReason,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultUnavailable,
)
from app.http.message import Effect, FixedHeaders, VaultHttp, VaultReply, VaultRequest
from app.providers.base import VaultAdapter, read_errors, request_id_of, unsupported
from app.providers.jpmorgan.added import Record, added_record, added_records
from app.providers.jpmorgan.errors import (
    METHOD_ADDED,
    METHOD_CHANGED,
    METHOD_DELETED,
    PROFILE_CREATED,
    PROFILE_DELETED,
    is_theirs,
    names_profile,
    refusal,
)
from app.providers.jpmorgan.mapping import (
    NAME,
    canonical_ref,
    default_of,
    new_records,
    profile_id_of,
    profiles_in,
    refs_of,
    to_wallet,
)
from app.providers.jpmorgan.ordinary import content_of, ordinary_wallet, status_content
from app.providers.jpmorgan.requests import from_addition, from_additions, from_change, from_customer
from app.providers.jpmorgan.settings import JpMorganSettings
from app.providers.jpmorgan.three_d_secure import next_action_of, to_three_d_secure
from app.providers.jpmorgan.validation import (
    ROUTE_KINDS,
    faults_of_address,
    faults_of_labels,
    faults_of_method,
    faults_of_new_profile,
    faults_of_person,
)
from app.providers.jpmorgan.wire import WireCard
from app.providers.reply_cache import DigestCache, ReplyCache, digest_of
from app.providers.values import path_of, segment
from app.providers.write_outcome import WriteAnswers, require_done
from app.vault.enums import AddRoute, CustomerRef, MethodRef, ProviderCapability
from app.vault.model import (
    Added,
    BankAccount,
    BeforeAdd,
    Capabilities,
    MethodChange,
    NewCard,
    NewCustomer,
    NewMethod,
    OtherMethod,
    PaymentMethod,
    ThreeDSecure,
    VaultWallet,
)
from app.vault.provider import Call

ADD_LIMIT: Final = 50
"""Methods per call; assumed, as no page names a limit of the lists."""
CAPABILITIES: Final = Capabilities(
    operations=frozenset(
        {
            ProviderCapability.LIST,
            ProviderCapability.ADD,
            ProviderCapability.UPDATE_EXPIRY,
            ProviderCapability.UPDATE_HOLDER,
            ProviderCapability.UPDATE_STATUS,
            ProviderCapability.UPDATE_BILLING,
            ProviderCapability.SET_DEFAULT,
            ProviderCapability.DELETE,
            ProviderCapability.THREE_D_SECURE,
            ProviderCapability.WEBHOOKS,
        }
    ),
    add_via=frozenset(ROUTE_KINDS),
    batch_limit=1,
    creates_customer_with_method=True,
    erases_customers=True,
    keeps_profiles=True,
    adds_inactive=True,
    add_limit=ADD_LIMIT,
)
_CUSTOMER_REF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,$@&_.-]{0,63}")
_METHOD_REF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_is_plain: Final = _METHOD_REF.fullmatch  # every method ref is a customer ref that needs no percent-encoding
_BARE_UUID: Final = re.compile(r"[0-9a-f]{32}")
_REQUESTS: Final = UUID("0f3e1f39-7a53-4d8e-9f0e-5a2c1d9b6e47")
_PROBE: Final = CustomerRef("CREDENTIALS-CHECK")
_PROFILES: Final = "consumer-profiles"
_PROFILE_ROUTE: Final = "consumer-profiles/{id}"
_METHODS_ROUTE: Final = "consumer-profiles/{id}/payment-methods"
_METHOD_ROUTE: Final = "consumer-profiles/{id}/payment-methods/{id}"
_STATUS_ROUTE: Final = f"{_METHOD_ROUTE}/status"


class JpMorganVault(VaultAdapter):
    """One profile contains everything of one customer: a read is one GET, and every write returns the whole profile."""

    name = NAME
    ref_shapes = (_CUSTOMER_REF, _METHOD_REF)
    canonical_ref = staticmethod(canonical_ref)

    def __init__(
        self, settings: JpMorganSettings, http: VaultHttp, *, raw_cards: bool = False, network_tokens: bool = False
    ) -> None:
        super().__init__(http)
        self._headers = FixedHeaders({"merchantIdentifier": settings.merchant_identifier})
        self._replies = ReplyCache(content_of, ordinary_wallet)
        self._statuses: DigestCache[tuple[CustomerRef, MethodRef], ThreeDSecure] = DigestCache()
        self.capabilities = enabled_capabilities(
            raw_cards=raw_cards,
            network_tokens=network_tokens,
            webhooks=bool(settings.webhook_jwks_url or settings.webhook_jwks_path),
        )

    # ---- reading ------------------------------------------------------------------------------------------

    def wallet_request(self, ref: CustomerRef, call: Call) -> VaultRequest:
        name = ref if _is_plain(ref) else self._segment(ref)
        return self._request("GET", _PROFILE_ROUTE, call, f"{_PROFILES}/{name}")

    def ordinary_wallet(self, ref: CustomerRef, reply: VaultReply, call: Call) -> VaultWallet | None:
        """The request id is the vault's, else the one sent to it."""
        return self._replies.read(ref, reply, _uuid(call.request_id)) if reply.status == 200 else None

    async def read_wallet(self, ref: CustomerRef, reply: VaultReply, call: Call) -> VaultWallet:
        if reply.status != 200:
            raise self._refusal(reply, Effect.READ, RejectReason.CUSTOMER_NOT_FOUND, call)
        with read_errors(self.name):
            profile = reply.json()
            self.require_customer(ref, profiles_in(profile), call, reply)
            wallet = to_wallet(ref, profile, request_id_of(reply) or _uuid(call.request_id))
        return self._replies.put_tolerant(wallet, reply)

    async def _profile(self, ref: CustomerRef, call: Call) -> Any:
        self._demand(ref)
        reply = await self._send("GET", _PROFILE_ROUTE, call, (_PROFILES, ref))
        if reply.status != 200:
            raise self._refusal(reply, Effect.READ, RejectReason.CUSTOMER_NOT_FOUND, call)
        with read_errors(self.name):
            profile = reply.json()
            self.require_customer(ref, profiles_in(profile), call, reply)
            return profile

    def three_d_secure_request(self, ref: CustomerRef, method: MethodRef, call: Call) -> VaultRequest:
        if _is_plain(method) is None:
            raise VaultRejected(self.name, RejectReason.METHOD_NOT_FOUND)
        name = ref if _is_plain(ref) else self._segment(ref)
        path = f"{_PROFILES}/{name}/payment-methods/{method}/status"
        return self._request("GET", _STATUS_ROUTE, call, path)

    def ordinary_three_d_secure(
        self, ref: CustomerRef, method: MethodRef, reply: VaultReply, call: Call
    ) -> ThreeDSecure | None:
        if reply.status != 200:
            return None
        known, digest = self._statuses.find((ref, method), reply.body)
        if known is not None:
            return known
        content = status_content(reply.body)
        return self._statuses.find_equal((ref, method), content, digest) if content is not None else None

    async def read_three_d_secure(
        self, ref: CustomerRef, method: MethodRef, reply: VaultReply, call: Call
    ) -> ThreeDSecure | None:
        if reply.status == 404 and is_theirs(reply) and not names_profile(reply):
            return None
        if reply.status != 200:
            raise self._refusal(reply, Effect.READ, RejectReason.CUSTOMER_NOT_FOUND, call)
        with read_errors(self.name):
            status = reply.json()
            if status.get("consumerProfileId") != ref or "paymentMethodType" in status:
                self.require_customer(ref, profiles_in(status), call, reply)
            if (named := status.get("paymentMethodId")) is not None:
                self._require_method(method, [named], call, reply, Effect.READ)
            result = to_three_d_secure(status)
        if result is None:
            return None
        return self._statuses.keep((ref, method), digest_of(reply.body), result, status_content(reply.body))

    async def customer_exists(self, ref: CustomerRef, call: Call) -> bool:
        try:
            profile = await self._profile(ref, call)
        except VaultRejected:
            return False
        with read_errors(self.name):
            profile_id_of(profile)
        return True

    # ---- adding -------------------------------------------------------------------------------------------

    def faults_of_add(self, new: NewMethod) -> list[FieldFault]:
        return self.route_faults(new, ROUTE_KINDS) or faults_of_method(new)

    async def before_add(self, ref: CustomerRef, new: NewMethod, call: Call) -> BeforeAdd:
        """The ids of a fresh profile. Numbers are never returned, so a repeated number cannot be detected here."""
        profile = await self._profile(ref, call)
        with read_errors(self.name):
            profile_id_of(profile)
            return BeforeAdd(method_refs=refs_of(profile), default_ref=default_of(profile))

    async def add(self, ref: CustomerRef, new: NewMethod, before: BeforeAdd, make_default: bool, call: Call) -> Added:
        """One POST. `make_default` is ignored: `defaultMOP` in this body is reported to add its method a
        second time.
        """
        self._allow(self.faults_of_add(new))
        self._demand(ref)
        path = (_PROFILES, ref, "payment-methods")
        reply = await self._send("POST", _METHODS_ROUTE, call, path, Effect.WRITE, from_addition(new))
        profile = self._written(METHOD_ADDED, reply, RejectReason.CUSTOMER_NOT_FOUND, call, ref)
        return self._added(ref, new, profile, before.method_refs)

    def can_add_all(self, news: Sequence[NewMethod]) -> bool:
        """A body has one bundle of each wallet, and one browser for all authentications."""
        cards = [new for new in news if isinstance(new, NewCard)]
        return not any(card.wallet or card.authenticate for card in cards)

    async def before_add_all(self, ref: CustomerRef, news: Sequence[NewMethod], call: Call) -> list[BeforeAdd]:
        return [await self.before_add(ref, news[0], call)] * len(news)

    async def add_all(
        self, ref: CustomerRef, news: Sequence[NewMethod], before: BeforeAdd, default: int | None, call: Call
    ) -> list[Added]:
        """One POST with several entries in its lists. `default` is ignored, as `make_default` of `add`."""
        self._allow([found for new in news for found in self.faults_of_add(new)])
        self._demand(ref)
        path = (_PROFILES, ref, "payment-methods")
        reply = await self._send("POST", _METHODS_ROUTE, call, path, Effect.WRITE, from_additions(news))
        profile = self._written(METHOD_ADDED, reply, RejectReason.CUSTOMER_NOT_FOUND, call, ref)
        with read_errors(self.name, Effect.WRITE):
            found = added_records(new_records(profile, before.method_refs), news)
        if found is None:
            raise OutcomeUnknown(self.name)
        return [_to_added(ref, record, new) for record, new in zip(found, news, strict=True)]

    async def create_with_method(self, customer: NewCustomer, new: NewMethod, call: Call) -> Added:
        """Create a profile with its first method. After a lost reply a profile cannot be looked up by external id."""
        self._allow([*faults_of_new_profile(customer), *self.faults_of_add(new)])
        body = from_customer(customer, new)
        reply = await self._send("POST", _PROFILES, call, (_PROFILES,), Effect.WRITE, body)
        profile = self._written(PROFILE_CREATED, reply, RejectReason.CONTRACT, call, None)
        return self._added(profile_id_of(profile), new, profile, frozenset())

    def _added(self, ref: CustomerRef, new: NewMethod, profile: Any, before: frozenset[MethodRef]) -> Added:
        """Find the new method by set difference, and exclude concurrent additions by kind and last four."""
        with read_errors(self.name, Effect.WRITE):
            found = added_record(new_records(profile, before), new)
        if found is None:
            raise OutcomeUnknown(self.name)
        return _to_added(ref, found, new)

    # ---- changing -----------------------------------------------------------------------------------------

    def faults_of_update(self, method: PaymentMethod, change: MethodChange) -> list[FieldFault]:
        if isinstance(method, OtherMethod):
            return [unsupported(message="J.P. Morgan stores no method of this kind.")]
        faults = super().faults_of_update(method, change)
        if change.expiry is not None and isinstance(method, BankAccount):
            faults.append(unsupported("expiry", message="A bank account does not expire."))
        if change.holder is not None:
            faults.extend(faults_of_person(change.holder, "holder"))
        if change.billing_address is not None:
            faults.extend(faults_of_address(change.billing_address, "billing_address"))
            faults.extend(faults_of_labels(change.address_labels))
        return faults

    async def update(self, method: PaymentMethod, change: MethodChange, call: Call) -> MethodRef:
        """One PATCH. The method keeps its id; a new address becomes a new address record."""
        self._allow(self.faults_of_update(method, change))
        self._demand(method.customer_ref, method.method_ref)
        path = (_PROFILES, method.customer_ref, "payment-methods", method.method_ref)
        reply = await self._send("PATCH", _METHOD_ROUTE, call, path, Effect.WRITE, from_change(method, change))
        ref, name = method.customer_ref, method.method_ref
        profile = self._written(METHOD_CHANGED, reply, RejectReason.METHOD_NOT_FOUND, call, ref, is_update=True)
        if name not in refs_of(profile):
            raise self.mismatch("payment method", call, reply, Effect.WRITE)
        return name

    async def set_default(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        self._demand(ref, method)
        path = (_PROFILES, ref, "payment-methods", method, "default")
        reply = await self._send("PATCH", f"{_METHOD_ROUTE}/default", call, path, Effect.WRITE)
        profile = self._written(METHOD_CHANGED, reply, RejectReason.METHOD_NOT_FOUND, call, ref)
        with read_errors(self.name, Effect.WRITE):
            default = default_of(profile)
        self._require_method(method, [default], call, reply)
        self._require_shown(default is not None)

    async def delete(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        self._demand(ref, method)
        path = (_PROFILES, ref, "payment-methods", method)
        reply = await self._send("DELETE", _METHOD_ROUTE, call, path, Effect.WRITE)
        try:
            profile = self._written(METHOD_DELETED, reply, RejectReason.METHOD_NOT_FOUND, call, ref)
        except OutcomeUnknown as unknown:
            await require_done(unknown, partial(self._lacks, ref, method, call))
            return
        with read_errors(self.name, Effect.WRITE):
            self._require_shown(method not in refs_of(profile))

    async def _lacks(self, ref: CustomerRef, method: MethodRef, call: Call) -> bool:
        profile = await self._profile(ref, call)
        with read_errors(self.name):
            return method not in refs_of(profile)

    async def erase_customer(self, ref: CustomerRef, call: Call) -> None:
        """Delete the profile; success if it does not exist."""
        self._demand(ref)
        reply = await self._send("DELETE", _PROFILE_ROUTE, call, (_PROFILES, ref), Effect.WRITE)
        refusal = partial(self._refusal, reply, Effect.WRITE, RejectReason.CUSTOMER_NOT_FOUND, call)
        try:
            body = PROFILE_DELETED.read(self.name, reply, refusal)
        except OutcomeUnknown as unknown:
            await require_done(unknown, partial(self._is_erased, ref, call))
            return
        self.require_customer(ref, profiles_in(body), call, reply, Effect.WRITE)

    async def _is_erased(self, ref: CustomerRef, call: Call) -> bool:
        return not await self.customer_exists(ref, call)

    async def check(self, call: Call) -> None:
        """Read a profile that does not exist: 404 verifies token and merchant, which the health check would not."""
        reply = await self._send("GET", _PROFILE_ROUTE, call, (_PROFILES, _PROBE))
        if reply.status == 400:
            raise VaultRefusedUs(self.name, "J.P. Morgan does not accept jpmorgan.merchant_identifier.")
        if reply.status == 404 and not is_theirs(reply):
            raise VaultUnavailable(self.name, "There is no J.P. Morgan API at jpmorgan.base_url.")
        if reply.status not in (200, 404):
            raise self._refusal(reply, Effect.READ, RejectReason.CUSTOMER_NOT_FOUND, call)

    # ---- calls ------------------------------------------------------------------------------------------------

    async def _send(
        self,
        verb: str,
        route: str,
        call: Call,
        path: Sequence[str],
        effect: Effect = Effect.READ,
        json: Any = None,
    ) -> VaultReply:
        return await self._http.send(self._request(verb, route, call, path_of(*path), effect, json), call)

    def _request(
        self, verb: str, route: str, call: Call, path: str, effect: Effect = Effect.READ, json: Any = None
    ) -> VaultRequest:
        request_id = _uuid(call.request_id)
        return VaultRequest(
            method=verb,
            path=path,
            route=route,
            effect=effect,
            json=json,
            headers=self._headers,
            own_headers={"requestidentifier": request_id, "correlationidentifier": request_id},
        )

    def _written(
        self,
        answers: WriteAnswers,
        reply: VaultReply,
        missing: RejectReason,
        call: Call,
        ref: CustomerRef | None,
        *,
        is_update: bool = False,
    ) -> Any:
        """The profile after a write; OutcomeUnknown if it is not the profile `ref`."""
        refusal = partial(self._refusal, reply, Effect.WRITE, missing, call, is_update=is_update)
        profile = answers.read(self.name, reply, refusal)
        with read_errors(self.name, Effect.WRITE):
            self.require_customer(ref or profile_id_of(profile), profiles_in(profile), call, reply, Effect.WRITE)
        return profile

    def _require_shown(self, is_shown: bool) -> None:
        """A profile that does not show the written data does not confirm the write."""
        if not is_shown:
            raise OutcomeUnknown(self.name, provider_code="NOT_SHOWN")

    def _require_method(
        self,
        method: MethodRef,
        named: Sequence[str | None],
        call: Call,
        reply: VaultReply,
        effect: Effect = Effect.WRITE,
    ) -> None:
        """Raise if a reply names another payment method than requested. Ids are UUIDs, in any case."""
        if any(one and one.lower() != method.lower() for one in named):
            raise self.mismatch("payment method", call, reply, effect)

    def _refusal(
        self, reply: VaultReply, effect: Effect, missing: RejectReason, call: Call, *, is_update: bool = False
    ) -> VaultError:
        return refusal(reply, effect, missing, is_update=is_update, sent_id=_uuid(call.request_id))

    def _segment(self, ref: CustomerRef) -> str:
        """The ref in a path; raises VaultRejected for one that J.P. Morgan cannot have issued."""
        self._demand(ref)
        return segment(ref)


def enabled_capabilities(*, raw_cards: bool, network_tokens: bool, webhooks: bool) -> Capabilities:
    """Card numbers, network tokens and webhooks only if a setting enables them."""
    closed = {
        route
        for route, is_open in ((AddRoute.RAW_CARD, raw_cards), (AddRoute.NETWORK_TOKEN, network_tokens))
        if not is_open
    }
    without = frozenset() if webhooks else frozenset({ProviderCapability.WEBHOOKS})
    return replace(CAPABILITIES, operations=CAPABILITIES.operations - without, add_via=CAPABILITIES.add_via - closed)


@lru_cache(maxsize=256)  # called several times per request
def _uuid(request_id: str) -> str:
    """The request's id as the UUID that `requestIdentifier` should be: itself if it is one, else derived from it."""
    if _BARE_UUID.fullmatch(request_id):  # the format of generated ids
        return "-".join((request_id[:8], request_id[8:12], request_id[12:16], request_id[16:20], request_id[20:]))
    try:
        return str(UUID(request_id))
    except ValueError:
        return str(uuid5(_REQUESTS, request_id))


def _to_added(ref: CustomerRef, record: Record, new: NewMethod) -> Added:
    action = next_action_of(cast("WireCard", record)) if isinstance(new, NewCard) and new.authenticate else None
    return Added(customer_ref=ref, method_ref=MethodRef(record["paymentMethodId"]), next_action=action)
