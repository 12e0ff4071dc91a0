"""Base class and helpers for adapters: guarded parsing of replies, tolerant values, refusal of unsupported
operations.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from app.errors import (
    FieldFault,
    InvalidRequest,
    OutcomeUnknown,
    RejectReason,
    UnsupportedByVault,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultReplyUnreadable,
)
from app.http.client import VaultHttpClient
from app.http.message import Effect, VaultHttp, VaultReply, VaultRequest
from app.http.sent_call import SentCall
from app.providers.lists import are_errors
from app.vault.enums import (
    AddRoute,
    CircuitState,
    CustomerRef,
    MethodRef,
    PaymentMethodKind,
    ProviderCapability,
    ProviderName,
)
from app.vault.model import (
    Added,
    BeforeAdd,
    Capabilities,
    MethodChange,
    NewCustomer,
    NewMethod,
    PaymentMethod,
    ThreeDSecure,
    VaultWallet,
)
from app.vault.provider import Call

INVALID: Final = "INVALID_INPUT"
REQUIRED: Final = "REQUIRED"
UNSUPPORTED: Final = "UNSUPPORTED_BY_PROVIDER"
PAN_NOT_ALLOWED: Final = "PAN_NOT_ALLOWED"
RAW_CARD_DISABLED: Final = "RAW_CARD_DISABLED"

IDENTITY_MISMATCH: Final = "IDENTITY_MISMATCH"

_log = logging.getLogger("vaultgraph.providers")
REQUEST_ID_HEADERS: Final = ("request-id", "x-request-id", "requestidentifier", "x-correlation-id")
find_request_ids: Final = re.compile(rf"\r\n(?i:{'|'.join(REQUEST_ID_HEADERS)}):([^\r]*)".encode()).findall
SHAPE_ERRORS: Final = (KeyError, IndexError, ValueError, TypeError, AttributeError)

T = TypeVar("T")


# ---- parsing replies --------------------------------------------------------------------------------------


class read_errors:
    """Convert a mapping's shape errors, `from None` so that no value is in a chained exception.

    A READ raises `VaultReplyUnreadable`, a WRITE `OutcomeUnknown`, since the vault answered but the outcome is unknown.
    """

    __slots__ = ("_effect", "_provider")

    def __init__(self, provider: ProviderName, effect: Effect = Effect.READ) -> None:
        self._provider = provider
        self._effect = effect

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SHAPE_ERRORS):
            unreadable = OutcomeUnknown if self._effect is Effect.WRITE else VaultReplyUnreadable
            raise unreadable(self._provider) from None


def collect(records: Iterable[Any], read: Callable[[Any], T]) -> tuple[tuple[T, ...], int]:
    """Parse each record. Returns the parsed ones and the number that could not be parsed."""
    found: list[T] = []
    skipped = 0
    for record in records:
        try:
            found.append(read(record))
        except SHAPE_ERRORS:
            skipped += 1
    return tuple(found), skipped


def distinct(methods: Iterable[PaymentMethod]) -> tuple[PaymentMethod, ...]:
    """Each payment method once: the first record of an id wins.

    A repeated id hides no other method, so the list counts as complete.
    """
    found: dict[MethodRef, PaymentMethod] = {}
    for method in methods:
        found.setdefault(method.method_ref, method)
    return tuple(found.values())


def collect_methods(
    records: Sequence[Any], read: Callable[[Any], PaymentMethod]
) -> tuple[tuple[PaymentMethod, ...], int]:
    """Like `collect`, for a whole list, each method once; raises ValueError for a list of errors."""
    found: dict[MethodRef, PaymentMethod] = {}
    parsed = skipped = 0
    for record in records:
        try:
            method = read(record)
        except SHAPE_ERRORS:
            skipped += 1
        else:
            parsed += 1
            found.setdefault(method.method_ref, method)
    if skipped and not parsed and are_errors(records):
        raise ValueError("a list of errors")
    return tuple(found.values()), skipped


def records_of(value: Any) -> list[Any]:
    """A value that must be a JSON array; raises ValueError otherwise."""
    if not isinstance(value, list):
        raise ValueError("not an array")
    return value


def request_id_of(reply: VaultReply) -> str | None:
    found = reply.first_of(REQUEST_ID_HEADERS, find_request_ids)
    return found[:128] if found else None


def body_of(reply: VaultReply) -> Any:
    """The decoded body of an error; None if it is empty or not JSON."""
    try:
        return reply.json()
    except ValueError:
        return None


def failed_reply(
    provider: ProviderName,
    reply: VaultReply,
    effect: Effect,
    reason: RejectReason = RejectReason.CONTRACT,
    provider_code: str | None = None,
    faults: Sequence[FieldFault] = (),
) -> VaultError:
    """The error for an unsuccessful reply: 401 and 403 refuse the credentials, others the request.

    A READ refused for any reason but "no such record" is unreadable, since no input of a caller caused it.
    """
    code, request_id = provider_code or f"HTTP_{reply.status}", request_id_of(reply)
    if reply.status in (401, 403):
        return VaultRefusedUs(provider, provider_code=code, provider_request_id=request_id)
    if effect is Effect.READ and reason not in (RejectReason.CUSTOMER_NOT_FOUND, RejectReason.METHOD_NOT_FOUND):
        return VaultReplyUnreadable(provider, provider_code=code, provider_request_id=request_id)
    return VaultRejected(provider, reason, provider_code=code, faults=faults, provider_request_id=request_id)


async def fetch_each(
    refs: Sequence[CustomerRef], read: Callable[[CustomerRef], Awaitable[VaultWallet]]
) -> dict[CustomerRef, VaultWallet | VaultError]:
    """Read customers concurrently, with one call each. See `by_ref` for the result."""
    wanted = list(dict.fromkeys(refs))
    return by_ref(wanted, await gather_settled([read(ref) for ref in wanted]))


async def gather_settled(works: Sequence[Awaitable[T]]) -> list[T | BaseException]:
    """All results or exceptions, in order. A single awaitable, the usual case, needs no task."""
    if len(works) != 1:
        return await asyncio.gather(*works, return_exceptions=True)
    try:
        return [await works[0]]
    except Exception as error:  # noqa: BLE001 - handed to the caller, as gather does
        return [error]


def by_ref(
    refs: Sequence[CustomerRef], answers: Sequence[VaultWallet | BaseException]
) -> dict[CustomerRef, VaultWallet | VaultError]:
    """Results by ref. Raises the first failure if all failed, and any exception that is no VaultError."""
    found: dict[CustomerRef, VaultWallet | VaultError] = {}
    for ref, answer in zip(refs, answers, strict=True):
        if isinstance(answer, BaseException) and not isinstance(answer, VaultError):
            raise answer
        found[ref] = answer
    failures = [answer for answer in found.values() if isinstance(answer, VaultError)]
    if failures and len(failures) == len(found) and not any(isinstance(error, VaultRejected) for error in failures):
        raise failures[0]
    return found


# ---- faults -----------------------------------------------------------------------------------------------


def fault(*path: str, code: str = INVALID, message: str) -> FieldFault:
    return FieldFault(path, code, message)


def required(*path: str, message: str = "This vault requires it.") -> FieldFault:
    return FieldFault(path, REQUIRED, message)


def unsupported(*path: str, message: str = "This vault does not support that.") -> FieldFault:
    return FieldFault(path, UNSUPPORTED, message)


# ---- the base class ---------------------------------------------------------------------------------------

_CHANGE_NEEDS: Final[Mapping[str, ProviderCapability]] = {
    "expiry": ProviderCapability.UPDATE_EXPIRY,
    "holder": ProviderCapability.UPDATE_HOLDER,
    "billing_address": ProviderCapability.UPDATE_BILLING,
    "active": ProviderCapability.UPDATE_STATUS,
    "is_secondary": ProviderCapability.UPDATE_SECONDARY,
}

_PLAIN_READS: Final = (("wallet_request", "wallet", "wallets"), ("three_d_secure_request", "three_d_secure"))


class VaultAdapter:
    """Refuses every operation of `VaultProvider`: an adapter overrides and declares the supported ones."""

    name: ProviderName
    capabilities: Capabilities
    ref_shapes: tuple[re.Pattern[str], re.Pattern[str]]
    """Of refs of customers and of methods, for `_demand`."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Hides `wallet_request` from callers of a class that overrides `wallet` or `wallets`, so that none bypasses
        the override; the override may still call the overridden method. Likewise `three_d_secure_request`.
        """
        super().__init_subclass__(**options)
        for request, *reads in _PLAIN_READS:
            inherited = getattr(VaultAdapter, request)
            if getattr(cls, request) is inherited:
                continue
            setattr(cls, f"_{request}", getattr(cls, request))
            if any(getattr(cls, name) is not getattr(VaultAdapter, name) for name in reads):
                setattr(cls, request, inherited)

    def __init__(self, http: VaultHttp) -> None:
        self._http = http
        self.identity_mismatches = 0

    def _allow(self, faults: Sequence[FieldFault]) -> None:
        """Called first by every write, so that nothing that the rules refuse is ever sent."""
        if faults:
            raise InvalidRequest(self.name, faults)

    def _demand(self, ref: CustomerRef, method: MethodRef | None = None) -> None:
        """A ref that the vault cannot have issued is unknown without a call."""
        customers, methods = self.ref_shapes
        if customers.fullmatch(ref) is None:
            raise VaultRejected(self.name, RejectReason.CUSTOMER_NOT_FOUND)
        if method is not None and methods.fullmatch(method) is None:
            raise VaultRejected(self.name, RejectReason.METHOD_NOT_FOUND)

    @staticmethod
    def canonical_ref(text: str, /) -> CustomerRef:
        """The ref with blanks stripped, for vaults whose refs are exact."""
        return CustomerRef(text.strip())

    def require_customer(
        self, ref: CustomerRef, named: Iterable[str], call: Call, reply: VaultReply, effect: Effect = Effect.READ
    ) -> None:
        """Raise if a reply names a customer other than `ref`. A reply that names none passes."""
        for one in named:
            if one != ref and self.canonical_ref(one) != self.canonical_ref(ref):
                raise self.mismatch("customer", call, reply, effect)

    def mismatch(self, what: str, call: Call, reply: VaultReply, effect: Effect = Effect.READ) -> VaultError:
        """Log, count and return the error for a reply that names another customer or payment method than requested.

        No ref is logged, since the one in the reply belongs to another person.
        """
        self.identity_mismatches += 1
        theirs = request_id_of(reply)
        _log.error(
            "%s answered for another %s than requested; the reply is not used (request %s, the vault's request %s)",
            self.name.value,
            what,
            call.request_id,
            theirs or "-",
        )
        error = OutcomeUnknown if effect is Effect.WRITE else VaultReplyUnreadable
        return error(self.name, provider_code=IDENTITY_MISMATCH, provider_request_id=theirs)

    @property
    def circuit(self) -> CircuitState:
        return CircuitState(self._http.circuit) if isinstance(self._http, VaultHttpClient) else CircuitState.CLOSED

    @property
    def http_client(self) -> VaultHttpClient | None:
        """The HTTP client, for metrics. None if a test replaces HTTP."""
        return self._http if isinstance(self._http, VaultHttpClient) else None

    def refuse(self) -> NoReturn:
        raise UnsupportedByVault(self.name)

    def route_faults(self, new: NewMethod, kinds: Mapping[AddRoute, frozenset[PaymentMethodKind]]) -> list[FieldFault]:
        """One fault if the vault cannot add this kind of method in this way, or raw cards are disabled."""
        is_possible = new.kind in kinds.get(new.route, frozenset())
        if is_possible and new.route in self.capabilities.add_via:
            return []
        if is_possible and new.route is AddRoute.RAW_CARD:
            message = "The operator has not enabled raw cards (raw_cards)."
            return [fault(code=RAW_CARD_DISABLED, message=message)]
        return [unsupported(message="This vault cannot add this kind of payment method in this way.")]

    async def wallets(self, refs: Sequence[CustomerRef], call: Call) -> Mapping[CustomerRef, VaultWallet | VaultError]:
        """`wallet` for each customer; a vault that reads many at once overrides `read_many`."""
        if refs[1:] or not refs:
            return await self.read_many(refs, call)
        try:
            return {refs[0]: await self.wallet(refs[0], call)}
        except VaultRejected as error:
            return {refs[0]: error}

    async def read_many(self, refs: Sequence[CustomerRef], call: Call) -> dict[CustomerRef, VaultWallet | VaultError]:
        """`wallets` for several customers."""
        return await fetch_each(refs, partial(self.wallet, call=call))

    async def wallet(self, ref: CustomerRef, call: Call) -> VaultWallet:
        """Read one customer; raises like `wallets`, and VaultRejected(CUSTOMER_NOT_FOUND)."""
        request = self._wallet_request(ref, call)
        if request is None:
            self.refuse()
        reply = await self._http.send(request, call)
        found = self.ordinary_wallet(ref, reply, call)
        return await self.read_wallet(ref, reply, call) if found is None else found

    def wallet_request(self, ref: CustomerRef, call: Call) -> VaultRequest | None:
        """The one request that reads a customer; None if this vault reads in another way.

        Raises VaultRejected for a ref that the vault cannot have issued.
        """
        return None

    _wallet_request = wallet_request

    def ordinary_wallet(self, ref: CustomerRef, reply: VaultReply, call: Call) -> VaultWallet | None:
        """The wallet in an ordinary reply to `wallet_request`; None if `read_wallet` must decide."""
        return None

    async def read_wallet(self, ref: CustomerRef, reply: VaultReply, call: Call) -> VaultWallet:
        """The wallet in any reply to `wallet_request`; may make further calls. Raises like `wallet`."""
        self.refuse()

    async def three_d_secure(self, ref: CustomerRef, method: MethodRef, call: Call) -> ThreeDSecure | None:
        request = self._three_d_secure_request(ref, method, call)
        if request is None:
            self.refuse()
        reply = await self._http.send(request, call)
        found = self.ordinary_three_d_secure(ref, method, reply, call)
        return await self.read_three_d_secure(ref, method, reply, call) if found is None else found

    def three_d_secure_request(self, ref: CustomerRef, method: MethodRef, call: Call) -> VaultRequest | None:
        """The one request that reads a card's 3-D Secure status; None if this vault reads it in another way.

        Raises VaultRejected for a ref that the vault cannot have issued.
        """
        return None

    _three_d_secure_request = three_d_secure_request

    def ordinary_three_d_secure(
        self, ref: CustomerRef, method: MethodRef, reply: VaultReply, call: Call
    ) -> ThreeDSecure | None:
        """The status in an ordinary reply to `three_d_secure_request`; None if `read_three_d_secure` must decide."""
        return None

    async def read_three_d_secure(
        self, ref: CustomerRef, method: MethodRef, reply: VaultReply, call: Call
    ) -> ThreeDSecure | None:
        """The status in any reply to `three_d_secure_request`; may make further calls. Raises like
        `three_d_secure`.
        """
        self.refuse()

    # See `DirectVault`.

    def begin_wallet(self, ref: CustomerRef, call: Call, on_done: Callable[[SentCall], object]) -> SentCall | None:
        http, request = self._http, self.wallet_request(ref, call)
        return http.begin(request, call, on_done) if request is not None and isinstance(http, VaultHttpClient) else None

    def wallet_in(self, ref: CustomerRef, sent: SentCall, call: Call) -> VaultWallet | None:
        reply = sent.client.finish(sent)
        return None if reply is None else self.ordinary_wallet(ref, reply, call)

    async def complete_wallet(self, ref: CustomerRef, sent: SentCall, call: Call) -> VaultWallet:
        if sent.final_reply is not None:
            return await self.read_wallet(ref, sent.final_reply, call)
        reply = await sent.client.send(sent.request, call, sent)
        found = self.ordinary_wallet(ref, reply, call)
        return await self.read_wallet(ref, reply, call) if found is None else found

    def begin_three_d_secure(
        self, ref: CustomerRef, method: MethodRef, call: Call, on_done: Callable[[SentCall], object]
    ) -> SentCall | None:
        http, request = self._http, self.three_d_secure_request(ref, method, call)
        return http.begin(request, call, on_done) if request is not None and isinstance(http, VaultHttpClient) else None

    def three_d_secure_in(self, ref: CustomerRef, method: MethodRef, sent: SentCall, call: Call) -> ThreeDSecure | None:
        reply = sent.client.finish(sent)
        return None if reply is None else self.ordinary_three_d_secure(ref, method, reply, call)

    async def complete_three_d_secure(
        self, ref: CustomerRef, method: MethodRef, sent: SentCall, call: Call
    ) -> ThreeDSecure | None:
        if sent.final_reply is not None:
            return await self.read_three_d_secure(ref, method, sent.final_reply, call)
        reply = await sent.client.send(sent.request, call, sent)
        found = self.ordinary_three_d_secure(ref, method, reply, call)
        return await self.read_three_d_secure(ref, method, reply, call) if found is None else found

    async def customer_exists(self, ref: CustomerRef, call: Call) -> bool:
        self.refuse()

    async def find_customer(self, external_id: str, call: Call) -> CustomerRef | None:
        self.refuse()

    def faults_of_customer(self, new: NewCustomer) -> list[FieldFault]:
        return [unsupported(message="This vault cannot create a customer by itself.")]

    async def create_customer(self, new: NewCustomer, call: Call) -> CustomerRef:
        self.refuse()

    def faults_of_add(self, new: NewMethod) -> list[FieldFault]:
        return [unsupported(message="This vault cannot add payment methods.")]

    async def before_add(self, ref: CustomerRef, new: NewMethod, call: Call) -> BeforeAdd:
        self.refuse()

    async def add(self, ref: CustomerRef, new: NewMethod, before: BeforeAdd, make_default: bool, call: Call) -> Added:
        self.refuse()

    async def create_with_method(self, customer: NewCustomer, new: NewMethod, call: Call) -> Added:
        self.refuse()

    def faults_of_update(self, method: PaymentMethod, change: MethodChange) -> list[FieldFault]:
        """One fault for each requested change that `capabilities` does not declare."""
        able = self.capabilities.operations
        faults = [
            unsupported(name, message="This vault cannot change that.")
            for name, needed in _CHANGE_NEEDS.items()
            if getattr(change, name) is not None and needed not in able
        ]
        if change.title is not None and not self.capabilities.titles_methods:
            faults.append(unsupported("title", message="This vault stores no title."))
        return faults

    async def update(self, method: PaymentMethod, change: MethodChange, call: Call) -> MethodRef:
        self.refuse()

    async def set_default(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        self.refuse()

    async def delete(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        self.refuse()

    async def erase_customer(self, ref: CustomerRef, call: Call) -> None:
        self.refuse()

    async def check(self, call: Call) -> None:
        self.refuse()

    async def close(self) -> None:
        await self._http.close()
