"""The adapter of the Caselle Payment API: customers and wallets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from app.errors import (
    FieldFault,
    OutcomeUnknown,
    RejectReason,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultReplyUnreadable,
    VaultUnavailable,
)
from app.http.message import Effect, FixedHeaders, VaultHttp, VaultReply, VaultRequest
from app.providers.base import VaultAdapter, read_errors, request_id_of
from app.providers.caselle import capture, errors, imports, payments
from app.providers.caselle.errors import names_our_account, refusal
from app.providers.caselle.mapping import (
    NAME,
    ROUTE_KINDS,
    customer_ref_of,
    customers_in,
    default_in,
    has_default,
    page_of,
    records_in,
    refs_in,
    saved_ref_of,
    to_wallet,
)
from app.providers.caselle.ordinary import content_of, ordinary_wallet
from app.providers.caselle.requests import from_customer, from_new
from app.providers.caselle.settings import CaselleSettings
from app.providers.caselle.validation import faults_of_method, faults_of_new_customer
from app.providers.lists import Page, follow
from app.providers.reply_cache import ReplyCache, digest_of
from app.providers.values import path_of
from app.providers.write_outcome import WriteAnswers, decoded, require_done
from app.vault.enums import AddRoute, CustomerRef, MethodRef, ProviderCapability
from app.vault.model import Added, BeforeAdd, Capabilities, NewCustomer, NewMethod, VaultWallet
from app.vault.payments import (
    Captured,
    HostedSession,
    HostingVault,
    ImportedMethod,
    ImportingVault,
    ImportResult,
    NewPayment,
    NewSession,
    PayingVault,
    Quote,
    Tokenization,
    TokenizingVault,
)
from app.vault.provider import Call

CAPABILITIES: Final = Capabilities(
    operations=frozenset(
        {
            ProviderCapability.LIST,
            ProviderCapability.ADD,
            ProviderCapability.SET_DEFAULT,
            ProviderCapability.DELETE,
            ProviderCapability.WEBHOOKS,
            ProviderCapability.PAY,
            ProviderCapability.HOSTED_SESSION,
            ProviderCapability.IMPORT,
        }
    ),
    add_via=frozenset({*ROUTE_KINDS, AddRoute.HOSTED_SESSION}),
    batch_limit=1,
    creates_customers=True,
    finds_customers_by_external_id=True,
    token_life_s=15 * 60,
    imports_bank_accounts=True,
)
_REF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_PROBE: Final = "credentials-check"
_CUSTOMERS: Final = "api/customers"
_CUSTOMER_ROUTE: Final = "api/customers/{id}"
_METHODS_ROUTE: Final = "api/customers/{id}/payment-methods"
_METHOD_ROUTE: Final = "api/customers/{id}/payment-methods/{id}"
_PAYMENTS: Final = "api/payments"
_CAPTURE_ROUTE: Final = "api/payments/{id}/capture"
_SESSIONS: Final = "v1/hosted-sessions"
_ACCOUNTS: Final = "api/paymentaccounts"
_CONFIG_ROUTE: Final = "api/paymentaccounts/{id}/client-config"
_IMPORT: Final = "api/saved-payment-methods/import"
_DEFAULT_ROUTE: Final = "api/customers/{id}/default-payment-method"


@dataclass(frozen=True, slots=True)
class _Listed:
    """A list of saved methods: the body of its first page, and the records of all pages that could be read."""

    body: Any
    records: list[Any]
    is_cut_short: bool
    is_one_page: bool


class CaselleVault(VaultAdapter, PayingVault, HostingVault, TokenizingVault, ImportingVault):
    """A customer is keyed by our external id; a method is saved by the browser's token and never updated."""

    name = NAME
    capabilities = CAPABILITIES
    ref_shapes = (_REF, _REF)

    def __init__(self, settings: CaselleSettings, http: VaultHttp) -> None:
        super().__init__(http)
        if not settings.webhook_secret:
            operations = CAPABILITIES.operations - {ProviderCapability.WEBHOOKS}
            self.capabilities = replace(CAPABILITIES, operations=operations)
        self._account = settings.payment_account_uid
        self._base_url = settings.base_url.rstrip("/")
        self._most = settings.max_methods
        self._headers = FixedHeaders({"X-Payment-Account-Uid": self._account})
        self._replies = ReplyCache(content_of, ordinary_wallet)

    # ---- reading ------------------------------------------------------------------------------------------

    def wallet_request(self, ref: CustomerRef, call: Call) -> VaultRequest:
        """Raises VaultRejected for a ref that Caselle cannot have issued; any other needs no percent-encoding."""
        if _REF.fullmatch(ref) is None:
            raise VaultRejected(self.name, RejectReason.CUSTOMER_NOT_FOUND)
        path = f"{_CUSTOMERS}/{ref}/payment-methods"
        return VaultRequest(method="GET", path=path, route=_METHODS_ROUTE, headers=self._headers)

    def ordinary_wallet(self, ref: CustomerRef, reply: VaultReply, call: Call) -> VaultWallet | None:
        return self._replies.read(ref, reply) if reply.status == 200 else None

    async def read_wallet(self, ref: CustomerRef, reply: VaultReply, call: Call) -> VaultWallet:
        if reply.status != 200:
            raise refusal(reply, Effect.READ, RejectReason.CUSTOMER_NOT_FOUND)
        listed = await self._all_pages(ref, reply, call)
        names_default = has_default(listed.body, listed.records)
        default = default_in(listed.body) if names_default else await self._default_of(ref, call)
        with read_errors(self.name):
            wallet = to_wallet(ref, listed.records, default, request_id_of(reply), truncated=listed.is_cut_short)
        is_one_reply = names_default and listed.is_one_page
        return self._replies.put(wallet, digest_of(reply.body)) if is_one_reply else wallet

    async def _list(self, ref: CustomerRef, call: Call) -> VaultReply:
        return await self._listed(self.wallet_request(ref, call), call)

    async def _listed(self, request: VaultRequest, call: Call) -> VaultReply:
        reply = await self._http.send(request, call)
        if reply.status != 200:
            raise refusal(reply, Effect.READ, RejectReason.CUSTOMER_NOT_FOUND)
        return reply

    async def _all_pages(self, ref: CustomerRef, reply: VaultReply, call: Call) -> "_Listed":
        """The whole list whose first page is `reply`."""
        request, named = self.wallet_request(ref, call), list[str]()
        url = f"{self._base_url}/{request.path}"

        def read(body: Any, headers: Mapping[str, str]) -> Page:
            named.extend(customers_in(body, is_customer=True))
            return page_of(body, headers, url)

        async def fetch(following: VaultRequest, within: Call) -> Page:
            found = await self._listed(following, within)
            with read_errors(self.name):
                return read(found.json(), found.headers)

        with read_errors(self.name):
            body = reply.json()
            first = read(body, reply.headers)
        records, is_cut_short = await follow(first, request, fetch, call, self._most)
        self.require_customer(ref, named, call, reply)
        return _Listed(body, records, is_cut_short, len(records) == len(first.records) and not is_cut_short)

    async def _whole_list(self, ref: CustomerRef, call: Call) -> "_Listed":
        """The whole list, for deciding a write; raises if it is incomplete."""
        listed = await self._all_pages(ref, await self._list(ref, call), call)
        if listed.is_cut_short:
            raise VaultReplyUnreadable(self.name, provider_code="CUT_SHORT")
        return listed

    async def _default_of(self, ref: CustomerRef, call: Call) -> MethodRef | None:
        """The default that the customer's record names. That call is not published, so a failure counts as
        no default.
        """
        try:
            reply = await self._send("GET", _CUSTOMER_ROUTE, call, path_of(_CUSTOMERS, ref))
            customer = reply.json() if reply.status == 200 else None
        except (VaultUnavailable, ValueError):
            return None
        self.require_customer(ref, customers_in(customer, is_customer=True), call, reply)
        return default_in(customer)

    async def customer_exists(self, ref: CustomerRef, call: Call) -> bool:
        """By its list of methods: the only published call that names a customer and changes nothing."""
        try:
            reply = await self._list(ref, call)
        except VaultRejected:
            return False
        with read_errors(self.name):
            body = reply.json()
            records_in(body)
        self.require_customer(ref, customers_in(body, is_customer=True), call, reply)
        return True

    async def find_customer(self, external_id: str, call: Call) -> CustomerRef | None:
        reply = await self._look_up(external_id, call)
        if reply.status != 200:
            raise refusal(reply, Effect.READ, RejectReason.CONTRACT)
        with read_errors(self.name):
            records = records_in(reply.json())
            if any(record["reference_id"] != external_id for record in records):
                raise self.mismatch("customer", call, reply)
            return customer_ref_of(records[0]) if records else None

    async def _look_up(self, external_id: str, call: Call) -> VaultReply:
        """OData: a quote inside a quoted text is doubled."""
        quoted = external_id.replace("'", "''")
        query = (("$filter", f"reference_id eq '{quoted}'"), ("$top", "1"))
        return await self._send("GET", _CUSTOMERS, call, _CUSTOMERS, query=query)

    # ---- customers ----------------------------------------------------------------------------------------

    def faults_of_customer(self, new: NewCustomer) -> list[FieldFault]:
        return faults_of_new_customer(new)

    async def create_customer(self, new: NewCustomer, call: Call) -> CustomerRef:
        """Create the customer, or fetch the existing one: `reference_id` is unique, so concurrent creations get the
        same uid.

        An unclear outcome is looked up once by the same key; only if nothing is found does it stay unknown.
        """
        self._allow(self.faults_of_customer(new))
        try:
            body, reply = await self._write(
                errors.CUSTOMER_CREATED,
                RejectReason.CONTRACT,
                "POST",
                _CUSTOMERS,
                call,
                _CUSTOMERS,
                from_customer(new),
            )
            if body.get("reference_id", new.external_id) != new.external_id:
                raise self.mismatch("customer", call, reply, Effect.WRITE)
        except OutcomeUnknown as unknown:
            return await self._find_after(new, unknown, call)
        return customer_ref_of(body)

    async def _find_after(self, new: NewCustomer, unknown: OutcomeUnknown, call: Call) -> CustomerRef:
        try:
            found = await self.find_customer(new.external_id, call)
        except VaultError:
            raise unknown from None
        if found is None:
            raise unknown
        return found

    # ---- methods ------------------------------------------------------------------------------------------

    def faults_of_add(self, new: NewMethod) -> list[FieldFault]:
        return self.route_faults(new, ROUTE_KINDS) or faults_of_method(new)

    async def before_add(self, ref: CustomerRef, new: NewMethod, call: Call) -> BeforeAdd:
        """The ids of a fresh list. Lists contain no tokens, so a repeated token cannot be detected here."""
        listed = await self._whole_list(ref, call)
        with read_errors(self.name):
            wallet = to_wallet(ref, listed.records, default_in(listed.body), None)
            default = next((method.method_ref for method in wallet.methods if method.is_provider_default), None)
            return BeforeAdd(method_refs=refs_in(listed.records), default_ref=default)

    async def add(self, ref: CustomerRef, new: NewMethod, before: BeforeAdd, make_default: bool, call: Call) -> Added:
        """Exchange the browser's token for a saved method. The default needs a second call: `make_default`
        is ignored.
        """
        self._allow(self.faults_of_add(new))
        self._demand(ref)
        path = path_of(_CUSTOMERS, ref, "payment-methods")
        body, reply = await self._write(
            errors.METHOD_SAVED, RejectReason.CUSTOMER_NOT_FOUND, "POST", _METHODS_ROUTE, call, path, from_new(new)
        )
        self.require_customer(ref, customers_in(body), call, reply, Effect.WRITE)
        return Added(customer_ref=ref, method_ref=saved_ref_of(body))

    async def set_default(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        self._demand(ref, method)
        path = path_of(_CUSTOMERS, ref, "default-payment-method")
        wish = {"saved_payment_method_uid": method}
        reply = await self._send("PUT", _DEFAULT_ROUTE, call, path, Effect.WRITE, wish)
        try:
            customer = self._read(errors.DEFAULT_SET, RejectReason.METHOD_NOT_FOUND, reply)
        except OutcomeUnknown as unknown:
            await require_done(unknown, partial(self._is_default, ref, method, call))
            return
        self.require_customer(ref, customers_in(customer, is_customer=True), call, reply, Effect.WRITE)
        if default_in(customer) != method:
            raise self.mismatch("payment method", call, reply, Effect.WRITE)

    async def _is_default(self, ref: CustomerRef, method: MethodRef, call: Call) -> bool:
        wallet = await self.wallet(ref, call)
        return any(one.method_ref == method and one.is_provider_default for one in wallet.methods)

    async def delete(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        self._demand(ref, method)
        path = path_of(_CUSTOMERS, ref, "payment-methods", method)
        reply = await self._send("DELETE", _METHOD_ROUTE, call, path, Effect.WRITE)
        self.require_customer(ref, customers_in(decoded(reply)), call, reply, Effect.WRITE)
        try:
            self._read(errors.METHOD_DELETED, RejectReason.METHOD_NOT_FOUND, reply)
        except OutcomeUnknown as unknown:
            await require_done(unknown, partial(self._lacks, ref, method, call))

    async def _lacks(self, ref: CustomerRef, method: MethodRef, call: Call) -> bool:
        return method not in refs_in((await self._whole_list(ref, call)).records)

    # ---- payments, browser capture, import ---------------------------------------------------------------

    def faults_of_payment(self, new: NewPayment) -> list[FieldFault]:
        return payments.faults_of_payment(new)

    async def quote(self, new: NewPayment, call: Call) -> Quote:
        """The vault checks the method and fixes the fee; no money moves."""
        self._allow(self.faults_of_payment(new))
        if _REF.fullmatch(new.method_ref) is None:
            raise VaultRejected(self.name, RejectReason.METHOD_NOT_FOUND)
        wish = payments.from_payment(new)
        body, reply = await self._write(
            errors.QUOTED, RejectReason.METHOD_NOT_FOUND, "POST", _PAYMENTS, call, _PAYMENTS, wish
        )
        with read_errors(self.name):  # a quote moves no money, so an unreadable one counts as none
            if payments.method_in(body) not in (None, new.method_ref):
                raise self.mismatch("payment method", call, reply)
            return payments.to_quote(new, body)

    async def capture(self, quote: Quote, call: Call) -> Captured:
        """Capture with exactly the quote's data. A decline is a result; a lost reply stays unknown and is never
        retried.
        """
        path = path_of(_PAYMENTS, quote.payment_ref, "capture")
        wish = payments.from_quote(quote)
        try:
            body, reply = await self._write(
                errors.CAPTURED, RejectReason.METHOD_NOT_FOUND, "POST", _CAPTURE_ROUTE, call, path, wish
            )
        except VaultRejected as refused:
            if refused.reason is not RejectReason.DECLINED:
                raise
            return payments.declined(quote, refused.provider_code)
        with read_errors(self.name, Effect.WRITE):
            if payments.method_in(body) not in (None, quote.payment.method_ref):
                raise self.mismatch("payment method", call, reply, Effect.WRITE)
            return payments.to_captured(quote, body)

    def faults_of_session(self, new: NewSession) -> list[FieldFault]:
        return capture.faults_of_session(new)

    async def create_session(self, new: NewSession, call: Call) -> HostedSession:
        self._allow(self.faults_of_session(new))
        self._demand(new.customer_ref)
        wish = capture.from_session(new)
        body, reply = await self._write(
            errors.SESSION_CREATED, RejectReason.CUSTOMER_NOT_FOUND, "POST", _SESSIONS, call, _SESSIONS, wish
        )
        with read_errors(self.name, Effect.WRITE):
            self.require_customer(new.customer_ref, customers_in(body), call, reply, Effect.WRITE)
            return capture.to_session(new, body)

    async def tokenization(self, ref: CustomerRef | None, call: Call) -> Tokenization:
        """The payment account's browser configuration, the same for every customer; its credentials are short-lived."""
        path = path_of(_ACCOUNTS, self._account, "client-config")
        reply = await self._send("GET", _CONFIG_ROUTE, call, path)
        if reply.status == 404:
            raise VaultRefusedUs(self.name, "Caselle does not accept caselle.payment_account_uid.")
        if reply.status != 200:
            raise refusal(reply, Effect.READ, RejectReason.CONTRACT)
        with read_errors(self.name):
            return capture.to_tokenization(reply.json())

    def faults_of_import(self, row: ImportedMethod) -> list[FieldFault]:
        return imports.faults_of_import(row)

    async def import_methods(self, rows: Sequence[ImportedMethod], call: Call) -> list[ImportResult]:
        """One call for at most 1,000 rows, with an outcome for each."""
        self._allow([found for row in rows for found in self.faults_of_import(row)])
        if not rows:
            return []
        wish = imports.from_import(rows)
        body, reply = await self._write(errors.IMPORTED, RejectReason.CONTRACT, "POST", _IMPORT, call, _IMPORT, wish)
        with read_errors(self.name, Effect.WRITE):
            results = imports.to_results(len(rows), body)
            for record in body["results"]:
                expected = rows[record["index"]].customer_ref
                self.require_customer(expected, customers_in(record), call, reply, Effect.WRITE)
            return results

    async def check(self, call: Call) -> None:
        """Look up a customer that does not exist: verifies the token, its scope and the payment account."""
        reply = await self._look_up(_PROBE, call)
        if reply.status == 400 or names_our_account(reply):
            raise VaultRefusedUs(self.name, "Caselle does not accept caselle.payment_account_uid.")
        if reply.status == 404:
            raise VaultUnavailable(self.name, "No API at caselle.base_url, or no such caselle.payment_account_uid.")
        if reply.status != 200:
            raise refusal(reply, Effect.READ, RejectReason.CONTRACT)

    # ---- calls ---------------------------------------------------------------------------------------------

    async def _send(
        self,
        verb: str,
        route: str,
        call: Call,
        path: str,
        effect: Effect = Effect.READ,
        json: Any = None,
        query: tuple[tuple[str, str], ...] = (),
    ) -> VaultReply:
        request = VaultRequest(
            method=verb, path=path, route=route, effect=effect, query=query, json=json, headers=self._headers
        )
        return await self._http.send(request, call)

    async def _write(
        self,
        answers: WriteAnswers,
        missing: RejectReason,
        verb: str,
        route: str,
        call: Call,
        path: str,
        json: Any = None,
    ) -> tuple[Any, VaultReply]:
        """The decoded reply to an applied write, and the raw reply; `missing` is what a 404 means."""
        reply = await self._send(verb, route, call, path, Effect.WRITE, json)
        return self._read(answers, missing, reply), reply

    def _read(self, answers: WriteAnswers, missing: RejectReason, reply: VaultReply) -> Any:
        return answers.read(self.name, reply, lambda: refusal(reply, Effect.WRITE, missing))
