"""Stripe: which calls. A PaymentMethod is made by the browser (Stripe.js); here it is attached and detached."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from app.errors import FieldFault, RejectReason, VaultError, VaultRejected
from app.http.message import Effect, VaultHttp, VaultReply, VaultRequest
from app.providers.base import VaultAdapter, read_errors
from app.providers.lists import Page, follow
from app.providers.values import segment
from app.providers.write_outcome import WriteAnswers
from app.vault.enums import AddRoute, CustomerRef, MethodRef, PaymentMethodKind, ProviderCapability, ProviderName
from app.vault.model import Added, BeforeAdd, Capabilities, NewBankAccount, NewCustomer, NewMethod, VaultWallet
from app.vault.provider import Call
from vaultgraph_stripe import errors, mapping, requests, validation
from vaultgraph_stripe.settings import StripeSettings

_BY_TOKEN: Final = {AddRoute.PROVIDER_TOKEN: frozenset((PaymentMethodKind.CARD,))}
_METHODS: Final = "v1/payment_methods"
_CUSTOMERS: Final = "v1/customers"


class StripeVault(VaultAdapter):
    """Cards, and US bank accounts where the settings ask for them. A PaymentMethod belongs to one customer or none."""

    name: ProviderName = mapping.NAME
    capabilities: Capabilities = Capabilities(
        operations=frozenset(
            (
                ProviderCapability.LIST,
                ProviderCapability.ADD,
                ProviderCapability.SET_DEFAULT,
                ProviderCapability.DELETE,
                ProviderCapability.IDEMPOTENT_WRITES,
            )
        ),
        add_via=frozenset((AddRoute.PROVIDER_TOKEN,)),
        creates_customers=True,
    )

    def __init__(self, settings: StripeSettings, http: VaultHttp) -> None:
        super().__init__(http)
        self._settings = settings

    # ---- reading ----

    async def wallet(self, ref: CustomerRef, call: Call) -> VaultWallet:
        records, is_truncated = await self._list(ref, call)
        with read_errors(self.name):
            return mapping.to_wallet(ref, records, is_truncated)

    async def _list(self, ref: CustomerRef, call: Call) -> tuple[list[Any], bool]:
        """The customer's PaymentMethods, and whether there are more. A ref that is none is unknown without a call."""
        if not mapping.is_customer_ref(ref):
            raise VaultRejected(self.name, RejectReason.CUSTOMER_NOT_FOUND)
        found = await asyncio.gather(*(self._pages(ref, kind, call) for kind in self._settings.types))
        return [record for records, _ in found for record in records], any(is_more for _, is_more in found)

    async def _pages(self, ref: CustomerRef, kind: str, call: Call) -> tuple[list[Any], bool]:
        query = requests.list_query(ref, kind)
        request = VaultRequest(method="GET", path=_METHODS, route=_METHODS, query=query)
        fetch = partial(self._page, ref, query)
        first = await fetch(request, call)
        return await follow(first, request, fetch, call, self._settings.max_methods)

    async def _page(
        self, ref: CustomerRef, query: Sequence[tuple[str, str]], request: VaultRequest, call: Call
    ) -> Page:
        reply = await self._http.send(request, call)
        if reply.status != 200:
            raise errors.refusal(reply, Effect.READ, RejectReason.CUSTOMER_NOT_FOUND)
        with read_errors(self.name):
            page = mapping.to_page(reply.json(), query)
            self.require_customer(ref, mapping.customers_in(page.records), call, reply)
        return page

    async def _get(self, path: str, route: str, call: Call) -> VaultReply:
        return await self._http.send(VaultRequest(method="GET", path=path, route=route), call)

    async def customer_exists(self, ref: CustomerRef, call: Call) -> bool:
        """A deleted customer is answered with its id and ``deleted``."""
        if not mapping.is_customer_ref(ref):
            return False
        reply = await self._get(f"{_CUSTOMERS}/{ref}", f"{_CUSTOMERS}/{{id}}", call)
        if reply.status != 200:
            error = errors.refusal(reply, Effect.READ, RejectReason.CUSTOMER_NOT_FOUND)
            if isinstance(error, VaultRejected):
                return False
            raise error
        with read_errors(self.name):
            body = reply.json()
            self.require_customer(ref, [body["id"]], call, reply)
            return not mapping.is_deleted(body)

    async def _holds(self, ref: CustomerRef, method: MethodRef, call: Call) -> bool:
        """Whether the PaymentMethod is attached to this customer: Stripe would detach it from any other."""
        if not mapping.is_method_ref(method):
            return False
        reply = await self._get(f"{_METHODS}/{segment(method)}", f"{_METHODS}/{{id}}", call)
        if reply.status != 200:
            error = errors.refusal(reply, Effect.READ, RejectReason.METHOD_NOT_FOUND)
            if isinstance(error, VaultRejected):
                return False
            raise error
        with read_errors(self.name):
            body = reply.json()
            if body["id"] != method:
                raise self.mismatch("payment method", call, reply)
            return mapping.customer_in(body) == ref

    async def check(self, call: Call) -> None:
        request = VaultRequest(method="GET", path=_CUSTOMERS, route=_CUSTOMERS, query=(("limit", "1"),))
        reply = await self._http.send(request, call)
        if reply.status != 200:
            raise errors.refusal(reply, Effect.READ, RejectReason.CONTRACT)
        with read_errors(self.name):
            mapping.to_page(reply.json(), ())

    # ---- writing ----

    def faults_of_customer(self, new: NewCustomer) -> list[FieldFault]:
        return validation.faults_of_customer(new)

    async def create_customer(self, new: NewCustomer, call: Call) -> CustomerRef:
        """Stripe's search lags behind by up to a minute, so that a lost answer cannot be looked up."""
        form = requests.customer_form(new)
        body, _ = await self._post(_CUSTOMERS, _CUSTOMERS, form, errors.CUSTOMER_WRITTEN, RejectReason.CONTRACT, call)
        return CustomerRef(body["id"])

    def faults_of_add(self, new: NewMethod) -> list[FieldFault]:
        refused = self.route_faults(new, _BY_TOKEN)
        if refused or isinstance(new, NewBankAccount):
            return refused
        return validation.faults_of_card(new)

    async def before_add(self, ref: CustomerRef, new: NewMethod, call: Call) -> BeforeAdd:
        records, _ = await self._list(ref, call)
        with read_errors(self.name):
            return mapping.to_before(records, new.secret.reveal())

    async def add(self, ref: CustomerRef, new: NewMethod, before: BeforeAdd, make_default: bool, call: Call) -> Added:
        """Attach. The reply's id is the token, except for Stripe's test tokens such as ``pm_card_visa``."""
        if isinstance(new, NewBankAccount):
            self.refuse()
        token = new.secret.reveal()
        if token in before.method_refs:
            raise VaultRejected(self.name, RejectReason.TOKEN_INVALID)
        path, route = f"{_METHODS}/{segment(token)}/attach", f"{_METHODS}/{{id}}/attach"
        form = requests.attach_form(ref)
        try:
            body, reply = await self._post(path, route, form, errors.ATTACHED, RejectReason.TOKEN_INVALID, call)
        except VaultRejected as refused:
            if refused.reason is RejectReason.TOKEN_INVALID and await self._is_unknown(ref, call):
                raise VaultRejected(
                    self.name,
                    RejectReason.CUSTOMER_NOT_FOUND,
                    provider_code=refused.provider_code,
                    provider_request_id=refused.provider_request_id,
                ) from None
            raise
        self.require_customer(ref, [body["customer"]], call, reply, Effect.WRITE)
        return Added(customer_ref=ref, method_ref=MethodRef(body["id"]))

    async def _is_unknown(self, ref: CustomerRef, call: Call) -> bool:
        """A refused attach need not say which of the two there is not."""
        with suppress(VaultError):
            return not await self.customer_exists(ref, call)
        return False

    async def set_default(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        if not await self._holds(ref, method, call):
            raise VaultRejected(self.name, RejectReason.METHOD_NOT_FOUND)
        path, route = f"{_CUSTOMERS}/{segment(ref)}", f"{_CUSTOMERS}/{{id}}"
        form, missing = requests.default_form(method), RejectReason.METHOD_NOT_FOUND
        body, reply = await self._post(path, route, form, errors.CUSTOMER_WRITTEN, missing, call)
        self.require_customer(ref, [body["id"]], call, reply, Effect.WRITE)
        if mapping.default_in(body) != method:
            raise self.mismatch("payment method", call, reply, Effect.WRITE)

    async def delete(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        """Detach. Stripe keeps the PaymentMethod, and attaches it nowhere again."""
        if not await self._holds(ref, method, call):
            return
        path, route = f"{_METHODS}/{segment(method)}/detach", f"{_METHODS}/{{id}}/detach"
        try:
            body, reply = await self._post(path, route, b"", errors.DETACHED, RejectReason.METHOD_NOT_FOUND, call)
        except VaultRejected as refused:
            if refused.reason is RejectReason.METHOD_NOT_FOUND:
                return
            raise
        if body["id"] != method:
            raise self.mismatch("payment method", call, reply, Effect.WRITE)

    async def _post(
        self, path: str, route: str, form: bytes, answers: WriteAnswers, missing: RejectReason, call: Call
    ) -> tuple[Any, VaultReply]:
        request = VaultRequest(
            method="POST",
            path=path,
            route=route,
            effect=Effect.WRITE,
            body=form,
            content_type=requests.FORM,
            own_headers=requests.idempotency_header(call),
        )
        reply = await self._http.send(request, call)
        return answers.read(self.name, reply, lambda: errors.refusal(reply, Effect.WRITE, missing)), reply
