"""The adapter of NCR Aloha Online Ordering. PUT creates, POST replaces.

`POST v1/Customers/{id}/Payments` takes a card number and replaces all of a customer's payment methods. It is used only
for companies without the three payment providers, with `replace_existing`, and if raw cards are enabled.
"""

from dataclasses import replace
from typing import Any, Final

from app.errors import FieldFault, InvalidRequest, RejectReason, VaultRejected, VaultUnavailable
from app.http.message import Effect, FixedHeaders, VaultHttp, VaultReply, VaultRequest
from app.providers.aloha import errors, mapping, requests, validation
from app.providers.aloha.ordinary import content_of, ordinary_wallet
from app.providers.aloha.settings import AlohaSettings
from app.providers.base import VaultAdapter, read_errors, request_id_of, unsupported
from app.providers.reply_cache import ReplyCache, digest_of
from app.providers.values import segment
from app.providers.write_outcome import WriteAnswers
from app.vault.enums import AddRoute, CustomerRef, MethodRef, PaymentMethodKind, ProviderCapability, ProviderName
from app.vault.model import Added, BeforeAdd, Capabilities, NewBankAccount, NewCard, NewCustomer, NewMethod, VaultWallet
from app.vault.provider import Call

_CARD: Final = frozenset((PaymentMethodKind.CARD,))
_ROUTES: Final = {AddRoute.PROVIDER_TOKEN: _CARD, AddRoute.RAW_CARD: _CARD}
_TOKEN: Final = "v1/Customers/Payment/Token"  # noqa: S105 - a path
_PAYMENTS: Final = "v1/Customers/{id}/Payments"
_JSON: Final = FixedHeaders({"Accept": "application/json"})
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_CREATE_QUERY: Final = (
    ("verbose", "false"),
    ("accountCreationEmailOption", "DoNotSendEmail"),
    ("enableLoyaltyAccountLinking", "true"),
    ("autoAssignStoredValue", "false"),
)


class AlohaVault(VaultAdapter):
    """Cards by token, or by number for companies without payment providers. Aloha cannot update or delete a saved
    card, nor mark one as default."""

    name: ProviderName = mapping.NAME
    canonical_ref = staticmethod(mapping.canonical_ref)
    capabilities: Capabilities = Capabilities(
        operations=frozenset((ProviderCapability.LIST, ProviderCapability.ADD)),
        add_via=frozenset(_ROUTES),
        creates_customers=True,
        hides_holder_names=True,
    )

    def __init__(self, settings: AlohaSettings, http: VaultHttp, *, raw_cards: bool = False) -> None:
        super().__init__(http)
        self._settings = settings
        routes = {AddRoute.PROVIDER_TOKEN} if settings.payment_providers else {AddRoute.RAW_CARD} if raw_cards else ()
        self.capabilities = replace(self.capabilities, add_via=frozenset(routes))
        self._replies = ReplyCache(content_of, ordinary_wallet)

    # ---- reading ----

    def wallet_request(self, ref: CustomerRef, call: Call) -> VaultRequest:
        """A ref that is no GUID is unknown without a call."""
        if not mapping.is_guid(ref):
            raise VaultRejected(self.name, RejectReason.CUSTOMER_NOT_FOUND)
        path = f"v1/Customers/{ref}/Payments"
        return VaultRequest(method="GET", path=path, route=_PAYMENTS, headers=_JSON)

    def ordinary_wallet(self, ref: CustomerRef, reply: VaultReply, call: Call) -> VaultWallet | None:
        return self._replies.read(ref, reply) if reply.status == 200 else None

    async def read_wallet(self, ref: CustomerRef, reply: VaultReply, call: Call) -> VaultWallet:
        body = await self._read_list(ref, reply, call)
        with read_errors(self.name):
            self.require_customer(ref, mapping.customers_in(body), call, reply)
            wallet = mapping.to_wallet(ref, body, request_id_of(reply))
        return wallet if body is None else self._replies.put(wallet, digest_of(reply.body))

    async def _listed(self, ref: CustomerRef, call: Call) -> Any:
        reply = await self._http.send(self.wallet_request(ref, call), call)
        body = await self._read_list(ref, reply, call)
        with read_errors(self.name):
            self.require_customer(ref, mapping.customers_in(body), call, reply)
        return body

    async def _read_list(self, ref: CustomerRef, reply: VaultReply, call: Call) -> Any:
        """The list as returned, None if nothing is saved.

        Aloha's 404, a 204, null or an empty body may mean "no payments" or "no customer", so only then the customer is
        read. A 404 with any other body comes from another server, or from a path that Aloha lacks.
        """
        is_missing = reply.status == 404 and (not reply.body.strip() or _says_not_found(reply))
        if reply.status not in (200, 204) and not is_missing:
            raise errors.refusal(reply, Effect.READ)
        if reply.status == 200 and reply.body.strip():
            with read_errors(self.name):
                body = reply.json()
            if body is not None:
                return body
        if await self.customer_exists(ref, call):
            return None
        raise VaultRejected(self.name, RejectReason.CUSTOMER_NOT_FOUND, provider_request_id=request_id_of(reply))

    async def _get(self, path: str, route: str, call: Call) -> VaultReply:
        return await self._http.send(VaultRequest(method="GET", path=path, route=route, headers=_JSON), call)

    async def customer_exists(self, ref: CustomerRef, call: Call) -> bool:
        if not mapping.is_guid(ref):
            return False
        reply = await self._get(_path(ref), "v1/Customers/{id}", call)
        if _says_not_found(reply):
            return False
        if reply.status != 200:
            raise errors.refusal(reply, Effect.READ)
        with read_errors(self.name):
            self.require_customer(ref, mapping.customers_in(mapping.customer_of(reply.json())), call, reply)
        return True

    async def check(self, call: Call) -> None:
        """Ask for a customer that cannot be. The 404 must be Aloha's ``NotFound``: any other server's, and that of a
        path which Aloha does not have, prove nothing."""
        reply = await self._get(_path(CustomerRef(_NOBODY)), "v1/Customers/{id}", call)
        if reply.status not in (200, 404):
            raise errors.refusal(reply, Effect.READ)
        if reply.body.strip():
            with read_errors(self.name):
                reply.json()
            if reply.status == 404 and not _says_not_found(reply):
                raise VaultUnavailable(self.name, "There is no Aloha API at aloha.base_url.")

    # ---- writing ----

    def faults_of_customer(self, new: NewCustomer) -> list[FieldFault]:
        return validation.faults_of_customer(new)

    async def create_customer(self, new: NewCustomer, call: Call) -> CustomerRef:
        """Aloha stores no external key: after a lost reply the customer cannot be looked up."""
        body = requests.from_customer(new)
        answer = await self._write("PUT", "v1/Customers", body, call, errors.CUSTOMER_CREATED, query=_CREATE_QUERY)
        return mapping.to_customer_ref(answer)

    def faults_of_add(self, new: NewMethod) -> list[FieldFault]:
        if isinstance(new, NewCard) and new.route is AddRoute.RAW_CARD and self._settings.payment_providers:
            return [unsupported(message="This company has a payment provider: add the card by its token.")]
        refused = self.route_faults(new, _ROUTES)
        if refused or isinstance(new, NewBankAccount):
            return refused
        if new.route is AddRoute.RAW_CARD:
            return validation.faults_of_raw_card(new)
        return validation.faults_of_card(new, self._settings.payment_providers)

    async def before_add(self, ref: CustomerRef, new: NewMethod, call: Call) -> BeforeAdd:
        body = await self._listed(ref, call)
        provider = new.payment_provider if isinstance(new, NewCard) else None
        with read_errors(self.name):
            return mapping.to_before(body, provider, new.secret)

    async def add(self, ref: CustomerRef, new: NewMethod, before: BeforeAdd, make_default: bool, call: Call) -> Added:
        """Aloha has no default, so `make_default` is ignored. The reply contains the new `AccountId`."""
        if isinstance(new, NewBankAccount):
            self.refuse()
        if new.route is AddRoute.RAW_CARD:
            return await self._replace_all(ref, new, call)
        body = requests.from_card(ref, new)
        answer = await self._write("PUT", _TOKEN, body, call, errors.TOKEN_ADDED)
        return Added(customer_ref=ref, method_ref=MethodRef(mapping.to_guid_answer(answer)))

    async def _replace_all(self, ref: CustomerRef, new: NewCard, call: Call) -> Added:
        if faults := self.faults_of_add(new):  # checked again, because this call removes all other methods
            raise InvalidRequest(self.name, faults)
        body = requests.from_raw_card(new)
        answer = await self._write("POST", f"{_path(ref)}/Payments", body, call, errors.TOKEN_ADDED, route=_PAYMENTS)
        return Added(customer_ref=ref, method_ref=MethodRef(mapping.to_guid_answer(answer)))

    async def _write(
        self,
        method: str,
        path: str,
        body: Any,
        call: Call,
        answers: WriteAnswers,
        *,
        route: str = "",
        query: tuple[tuple[str, str], ...] = (),
    ) -> Any:
        request = VaultRequest(
            method=method, path=path, route=route or path, effect=Effect.WRITE, query=query, json=body, headers=_JSON
        )
        reply = await self._http.send(request, call)
        return answers.read(self.name, reply, lambda: errors.refusal(reply, Effect.WRITE))


def _says_not_found(reply: VaultReply) -> bool:
    """True if the 404 is Aloha's: its body names ``NotFound``."""
    if reply.status != 404:
        return False
    error = errors.refusal(reply, Effect.READ)
    return isinstance(error, VaultRejected) and error.reason is RejectReason.CUSTOMER_NOT_FOUND


def _path(ref: CustomerRef) -> str:
    return f"v1/Customers/{segment(ref)}"
