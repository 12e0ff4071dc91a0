"""The adapter of LoanPro's LMS. A payment method is a `PaymentAccounts` child of its customer."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from app.errors import (
    FieldFault,
    InvalidRequest,
    OutcomeUnknown,
    RejectReason,
    VaultError,
    VaultRejected,
    VaultReplyUnreadable,
)
from app.http.message import Effect, VaultHttp, VaultReply, VaultRequest
from app.providers.base import VaultAdapter, by_ref, gather_settled, read_errors, request_id_of, unsupported
from app.providers.lists import Page, follow
from app.providers.loanpro import errors, mapping, requests, validation
from app.providers.loanpro.capture import CaptureForms
from app.providers.loanpro.ordinary import content_of, ordinary_wallet
from app.providers.loanpro.settings import LoanProSettings
from app.providers.loanpro.wire import WireElement
from app.providers.reply_cache import ReplyCache
from app.vault.enums import (
    AddRoute,
    BankAccountType,
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
    VaultWallet,
)
from app.vault.payments import CaptureForm, Tokenization
from app.vault.provider import Call

BATCH_LIMIT: Final = 40
"""Ids per `$filter`: 40 long ones keep the URL well below 2,000 characters, and the reply below one page of 50."""
ADD_LIMIT: Final = 50
"""New profiles per PUT; assumed, as no page names a limit."""
_CUSTOMERS: Final = "odata.svc/Customers()"
_FILTERED: Final = "Customers()?$filter"
_EXPAND_BATCH: Final = ("$expand", "PaymentAccounts,PaymentAccounts/CheckingAccount,PaymentAccounts/CreditCard")
_EXPAND_ONE: Final = ("$expand", "CheckingAccount,CreditCard")
_NO_PAGING: Final = ("nopaging", "true")
_BY_TOKEN: Final = {
    AddRoute.PROVIDER_TOKEN: frozenset((PaymentMethodKind.CARD, PaymentMethodKind.BANK_ACCOUNT)),
}


class LoanProVault(VaultAdapter):
    """Writes PUT the customer with a list of children, so the caller must serialise a customer's writes."""

    name: ProviderName = mapping.NAME
    canonical_ref = staticmethod(mapping.canonical_ref)
    capabilities: Capabilities = Capabilities(
        operations=frozenset(
            (
                ProviderCapability.LIST,
                ProviderCapability.ADD,
                ProviderCapability.UPDATE_STATUS,
                ProviderCapability.UPDATE_SECONDARY,
                ProviderCapability.SET_DEFAULT,
                ProviderCapability.DELETE,
            )
        ),
        add_via=frozenset((AddRoute.PROVIDER_TOKEN,)),
        batch_limit=BATCH_LIMIT,
        creates_customers=True,
        finds_customers_by_external_id=True,
        deletes_softly=True,
        titles_methods=True,
        add_limit=ADD_LIMIT,
    )

    def __init__(self, settings: LoanProSettings, http: VaultHttp, forms: CaptureForms | None = None) -> None:
        super().__init__(http)
        self._settings = settings
        self._forms = forms or CaptureForms(None, "")
        self._replies = ReplyCache(content_of, ordinary_wallet)

    async def tokenization(self, ref: CustomerRef | None, call: Call) -> Tokenization:
        return await self._forms.for_card(call)

    async def capture_form(self, ref: CustomerRef | None, form: CaptureForm, call: Call) -> Tokenization:
        if form.method_ref is not None:
            return await self._edit_form(ref, form.method_ref, call)
        if form.kind is PaymentMethodKind.CARD:
            return await self._forms.for_card(call)
        kind = form.account_type or BankAccountType.CHECKING
        if kind not in requests.ACCOUNT_TITLES:
            message = "LoanPro accepts checking and savings accounts."
            raise InvalidRequest(self.name, [unsupported("account_type", message=message)])
        return await self._forms.for_bank_account(kind, call)

    async def _edit_form(self, ref: CustomerRef | None, method: MethodRef, call: Call) -> Tokenization:
        """Some tenants do not show the tokens of profiles; then no form can be opened for them."""
        self._forms.refuse_unconfigured()
        held = None if ref is None else mapping.find_account(await self._listed(ref, call), method)
        with read_errors(self.name):
            if held is None or not mapping.is_active(held):
                raise VaultRejected(self.name, RejectReason.METHOD_NOT_FOUND)
            kind, token = mapping.form_of(held)
        if token is None:
            message = "LoanPro does not show this profile's token, so no form can change it."
            raise InvalidRequest(self.name, [unsupported("method_ref", message=message)])
        return await self._forms.for_change(kind, token, call)

    async def close(self) -> None:
        await self._forms.close()
        await super().close()

    # ---- reading ----

    def wallet_request(self, ref: CustomerRef, call: Call) -> VaultRequest:
        """A ref that is no LoanPro id is unknown without a call."""
        if not mapping.is_ref(ref):
            raise VaultRejected(self.name, RejectReason.CUSTOMER_NOT_FOUND)
        return _batch_request((ref,))

    def ordinary_wallet(self, ref: CustomerRef, reply: VaultReply, call: Call) -> VaultWallet | None:
        return self._replies.read(ref, reply) if reply.status == 200 else None

    async def read_wallet(self, ref: CustomerRef, reply: VaultReply, call: Call) -> VaultWallet:
        if reply.status != 200:
            raise errors.refusal(reply, Effect.READ)
        found = (await self._parse([ref], _batch_request((ref,)), reply, call, is_single=True))[ref]
        if isinstance(found, BaseException):
            raise found
        return found

    async def read_many(self, refs: Sequence[CustomerRef], call: Call) -> dict[CustomerRef, VaultWallet | VaultError]:
        """One OData call per 40 customers, concurrently."""
        found: dict[CustomerRef, VaultWallet | VaultError] = {}
        for ref in refs:
            if not mapping.is_ref(ref):
                found[ref] = VaultRejected(self.name, RejectReason.CUSTOMER_NOT_FOUND)
        wanted = [ref for ref in dict.fromkeys(refs) if ref not in found]
        chunks = [wanted[start : start + BATCH_LIMIT] for start in range(0, len(wanted), BATCH_LIMIT)]
        answers = await gather_settled([self._batch(chunk, call) for chunk in chunks])
        flat: list[VaultWallet | BaseException] = []
        for chunk, answer in zip(chunks, answers, strict=True):
            flat += [answer] * len(chunk) if isinstance(answer, BaseException) else [answer[ref] for ref in chunk]
        found.update(by_ref(wanted, flat))
        return {ref: found[ref] for ref in refs}

    async def _batch(self, refs: list[CustomerRef], call: Call) -> dict[CustomerRef, VaultWallet | BaseException]:
        request = _batch_request(refs)
        try:
            reply = await self._reply(request, call)
        except VaultRejected as refused:  # conclusive only for a single customer
            if len(refs) == 1:
                return {refs[0]: refused}
            raise VaultReplyUnreadable(self.name, provider_code=refused.provider_code) from None
        return await self._parse(refs, request, reply, call)

    async def _parse(
        self, refs: list[CustomerRef], request: VaultRequest, reply: VaultReply, call: Call, *, is_single: bool = False
    ) -> dict[CustomerRef, VaultWallet | BaseException]:
        """The customers of a list. `is_single`: the request was for one customer, and the reply is not in the cache."""
        data, read = await self._decoded(reply, request, call)
        customers, is_cut_short = await self._all_pages(data, request, call)
        with read_errors(self.name):
            is_single = is_single and read is reply and len(customers) == len(mapping.results_of(data))
            held = self._by_id(customers)
            if not set(refs).issuperset(held):
                raise self.mismatch("customer", call, read)
        found: dict[CustomerRef, VaultWallet | BaseException] = {}
        unlisted: list[CustomerRef] = []
        for ref in refs:
            if ref not in held:
                found[ref] = self._absent(is_cut_short)
                continue
            try:
                wallet = self._wallet(ref, held[ref], call, read, is_single=is_single)
            except VaultError as error:
                found[ref] = error
                continue
            if wallet is None:
                unlisted.append(ref)
            else:
                found[ref] = wallet
        if unlisted:
            wallets = await gather_settled([self._expanded(ref, held[ref], call) for ref in unlisted])
            found.update(zip(unlisted, wallets, strict=True))
        return found

    def _absent(self, is_cut_short: bool) -> VaultError:
        if is_cut_short:
            return VaultReplyUnreadable(self.name, provider_code="CUT_SHORT")
        return VaultRejected(self.name, RejectReason.CUSTOMER_NOT_FOUND)

    @staticmethod
    def _by_id(customers: Sequence[Any]) -> dict[CustomerRef, Any]:
        """The customers of a list by id, whatever its order."""
        held: dict[CustomerRef, Any] = {}
        for customer in customers:
            held.setdefault(CustomerRef(mapping.ref_of(customer["id"])), customer)
        return held

    def _wallet(
        self, ref: CustomerRef, customer: Any, call: Call, reply: VaultReply, *, is_single: bool
    ) -> VaultWallet | None:
        """The wallet from a list's data of a customer; None if it was not expanded. `is_single`: the reply has no other
        data; else the customer's part is looked up in the cache.
        """
        request_id, digest = request_id_of(reply), b""
        if not is_single:
            same, digest = self._replies.find(ref, orjson.dumps(customer))
            if same is not None:
                return self._replies.renew(same, request_id)
        with read_errors(self.name):
            accounts = customer["PaymentAccounts"]
            self.require_customer(ref, mapping.owners_in(accounts), call, reply)
            if mapping.must_expand(accounts):
                return None
            wallet = mapping.to_wallet(ref, accounts, request_id, customer=customer)
        return self._replies.put_tolerant(wallet, reply) if is_single else self._replies.put(wallet, digest)

    async def _expanded(self, ref: CustomerRef, customer: Any, call: Call) -> VaultWallet:
        """By the list of this customer's profiles: one more call, and one for each further page."""
        accounts, is_cut_short, reply = await self._accounts(ref, call)
        with read_errors(self.name):
            listed, request_id = {"results": accounts}, request_id_of(reply)
            return mapping.to_wallet(ref, listed, request_id, truncated=is_cut_short, customer=customer)

    async def _accounts(self, ref: CustomerRef, call: Call) -> tuple[list[Any], bool, VaultReply]:
        """The raw profiles of one customer, inactive ones included, and whether there are more.

        409 means that there is no customer.
        """
        path, route = f"odata.svc/Customers({ref})/PaymentAccounts", "Customers({id})/PaymentAccounts"
        request = VaultRequest(method="GET", path=path, query=(_EXPAND_ONE, _NO_PAGING), route=route)
        reply = await self._reply(request, call, missing=RejectReason.CUSTOMER_NOT_FOUND)
        data, read = await self._decoded(reply, request, call)
        accounts, is_cut_short = await self._all_pages(data, request, call)
        with read_errors(self.name):
            self.require_customer(ref, mapping.owners_in({"results": accounts}), call, read)
        return accounts, is_cut_short, read

    async def _listed(self, ref: CustomerRef, call: Call) -> list[Any]:
        if not mapping.is_ref(ref):
            raise VaultRejected(self.name, RejectReason.CUSTOMER_NOT_FOUND)
        accounts, is_cut_short, _ = await self._accounts(ref, call)
        if is_cut_short:  # a list that decides a write must be complete
            raise VaultReplyUnreadable(self.name, provider_code="CUT_SHORT")
        return accounts

    async def _all_pages(self, data: Any, request: VaultRequest, call: Call) -> tuple[list[Any], bool]:
        """The rows of all pages of a list whose first page is `data`, and whether there are more.

        `nopaging` requests a single page; a tenant that ignores it is paginated.
        """
        url = f"{self._settings.base_url.rstrip('/')}/{request.path}"
        with read_errors(self.name):
            first = mapping.page_of(data, url)

        async def fetch(following: VaultRequest, within: Call) -> Page:
            found, _ = await self._decoded(await self._reply(following, within), following, within)
            with read_errors(self.name):
                return mapping.page_of(found, url)

        return await follow(first, request, fetch, call, self._settings.max_methods)

    async def _reply(self, request: VaultRequest, call: Call, missing: RejectReason | None = None) -> VaultReply:
        reply = await self._http.send(request, call)
        if reply.status != 200:
            raise errors.refusal(reply, Effect.READ, missing=missing)
        return reply

    async def _decoded(self, reply: VaultReply, request: VaultRequest, call: Call) -> tuple[Any, VaultReply]:
        """The value under `d`.

        Very large replies are sometimes truncated: one that does not parse is requested again. Source: 'Getting
        Customer Information'.
        """
        try:
            body = reply.json()
        except ValueError:
            reply = await self._http.send(request, call)
            with read_errors(self.name):
                body = reply.json()
        with read_errors(self.name):
            return mapping.under_d(body), reply

    async def customer_exists(self, ref: CustomerRef, call: Call) -> bool:
        if not mapping.is_ref(ref):
            return False
        try:
            found, reply = await self._found(f"id eq {ref}", call)
        except VaultRejected:
            return False
        self.require_customer(ref, found, call, reply)
        return bool(found)

    async def find_customer(self, external_id: str, call: Call) -> CustomerRef | None:
        """By `customId`. LoanPro does not enforce its uniqueness: several customers with one key are unreadable."""
        if not external_id:
            return None
        found, reply = await self._found(f"customId eq {requests.quoted(external_id)}", call)
        if any(customer.get("customId", external_id) != external_id for customer in found.values()):
            raise self.mismatch("customer", call, reply)
        if len(found) > 1:
            raise VaultReplyUnreadable(self.name, provider_code="SEVERAL_CUSTOMERS")
        return next(iter(found), None)

    async def _found(self, condition: str, call: Call) -> tuple[dict[CustomerRef, Any], VaultReply]:
        request = VaultRequest(method="GET", path=_CUSTOMERS, query=(("$filter", condition),), route=_FILTERED)
        data, reply = await self._decoded(await self._reply(request, call), request, call)
        with read_errors(self.name):
            return self._by_id(mapping.results_of(data)), reply

    async def check(self, call: Call) -> None:
        """Request a customer that cannot exist: verifies URL, token and tenant without reading customer data."""
        await self._found("id eq 0", call)

    # ---- customers ----

    def faults_of_customer(self, new: NewCustomer) -> list[FieldFault]:
        return validation.faults_of_customer(new)

    async def create_customer(self, new: NewCustomer, call: Call) -> CustomerRef:
        data = await self._write("POST", "odata.svc/Customers", "Customers", requests.from_customer(new), call)
        with read_errors(self.name, Effect.WRITE):
            return CustomerRef(mapping.ref_of(data["id"]))

    # ---- writing ----

    def faults_of_add(self, new: NewMethod) -> list[FieldFault]:
        return self.route_faults(new, _BY_TOKEN) or validation.faults_of_new(new)

    async def before_add(self, ref: CustomerRef, new: NewMethod, call: Call) -> BeforeAdd:
        accounts = await self._listed(ref, call)
        with read_errors(self.name):
            return mapping.to_before(accounts, new.secret)

    async def add(self, ref: CustomerRef, new: NewMethod, before: BeforeAdd, make_default: bool, call: Call) -> Added:
        """Link by token. The reply does not reliably name the new profile, so the list is read afterwards.

        LoanPro has been seen to return 200 and store nothing: that is refused here as CONTRACT, code `NOT_STORED`.
        """
        elements: list[WireElement] = []
        if make_default and before.default_ref is not None:
            elements.append(requests.element(before.default_ref, isPrimary=0))
        if new.is_secondary:
            elements += self._demoted(await self._listed(ref, call), "isSecondary", None)
        data = await self._put(ref, [*elements, requests.new_element(new, make_default)], call)
        found = _added_in(data, before, new)
        if found is None:
            found = mapping.added_method(before.method_refs, await self._listed_after(ref, call), new.secret)
        if found is None:
            raise VaultRejected(self.name, RejectReason.CONTRACT, provider_code="NOT_STORED")
        return Added(customer_ref=ref, method_ref=found)

    def can_add_all(self, news: Sequence[NewMethod]) -> bool:
        return True

    async def before_add_all(self, ref: CustomerRef, news: Sequence[NewMethod], call: Call) -> list[BeforeAdd]:
        accounts = await self._listed(ref, call)
        with read_errors(self.name):
            return [mapping.to_before(accounts, new.secret) for new in news]

    async def add_all(
        self, ref: CustomerRef, news: Sequence[NewMethod], before: BeforeAdd, default: int | None, call: Call
    ) -> list[Added]:
        """Several elements in one PUT, which LoanPro applies in order."""
        elements: list[WireElement] = []
        if default is not None and before.default_ref is not None:
            elements.append(requests.element(before.default_ref, isPrimary=0))
        if any(new.is_secondary for new in news):
            elements += self._demoted(await self._listed(ref, call), "isSecondary", None)
        elements += [requests.new_element(new, at == default) for at, new in enumerate(news)]
        data = await self._put(ref, elements, call)
        found = mapping.added_methods(before.method_refs, _accounts_in(data), news)
        if found is None:
            accounts = await self._listed_after(ref, call)
            if not mapping.account_refs(accounts) - before.method_refs:
                raise VaultRejected(self.name, RejectReason.CONTRACT, provider_code="NOT_STORED")
            found = mapping.added_methods(before.method_refs, accounts, news)
        if found is None:
            raise OutcomeUnknown(self.name, provider_code="NOT_SHOWN")
        return [Added(customer_ref=ref, method_ref=one) for one in found]

    async def _listed_after(self, ref: CustomerRef, call: Call) -> list[Any]:
        """After a write, any failed read leaves the outcome unknown, whatever it would mean elsewhere."""
        try:
            return await self._listed(ref, call)
        except VaultError as error:
            raise OutcomeUnknown(self.name, provider_code=error.provider_code) from None

    def faults_of_update(self, method: PaymentMethod, change: MethodChange) -> list[FieldFault]:
        return super().faults_of_update(method, change) or validation.faults_of_change(change)

    async def update(self, method: PaymentMethod, change: MethodChange, call: Call) -> MethodRef:
        accounts = await self._listed_with(method.customer_ref, method.method_ref, call)
        elements = self._demoted(accounts, "isSecondary", method.method_ref) if change.is_secondary else []
        await self._put(method.customer_ref, [*elements, requests.changed_element(method.method_ref, change)], call)
        return method.method_ref

    async def set_default(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        """Demote and promote in one PUT, the current primary first: LoanPro applies them in order, and allows one
        primary.
        """
        accounts = await self._listed_with(ref, method, call)
        target = mapping.find_account(accounts, method)
        with read_errors(self.name):
            is_usable = target is not None and mapping.is_active(target)
            primaries = mapping.flagged(accounts, "isPrimary")
        if not is_usable:
            raise VaultRejected(self.name, RejectReason.CONFLICT, provider_code="INACTIVE")
        if primaries == [method]:
            return
        demoted = self._demoted(accounts, "isPrimary", method)
        await self._put(ref, [*demoted, requests.element(method, isPrimary=1)], call)

    async def delete(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        """Deactivate: LMS cannot delete a profile. Success if it is missing or inactive already."""
        held = mapping.find_account(await self._listed(ref, call), method)
        with read_errors(self.name):
            is_done = held is None or not mapping.is_active(held)
        if not is_done:
            await self._put(ref, [requests.changed_element(method, MethodChange(active=False))], call)

    def _demoted(self, accounts: list[Any], name: str, but: MethodRef | None) -> list[WireElement]:
        """Remove a flag from other profiles: LoanPro allows one primary and one secondary, and refuses a second."""
        return [requests.element(ref, **{name: 0}) for ref in mapping.flagged(accounts, name) if ref != but]

    async def _listed_with(self, ref: CustomerRef, method: MethodRef, call: Call) -> list[Any]:
        accounts = await self._listed(ref, call)
        if mapping.find_account(accounts, method) is None:
            raise VaultRejected(self.name, RejectReason.METHOD_NOT_FOUND)
        return accounts

    async def _put(self, ref: CustomerRef, elements: list[WireElement], call: Call) -> Any:
        body = requests.children(*elements)
        return await self._write("PUT", f"odata.svc/Customers({ref})", "Customers({id})", body, call, ref)

    async def _write(
        self, method: str, path: str, route: str, body: dict[str, Any], call: Call, ref: CustomerRef | None = None
    ) -> Any:
        """Send one write and return the record in the reply. If it names another customer than `ref`, the outcome is
        unknown.
        """
        request = VaultRequest(method=method, path=path, route=route, effect=Effect.WRITE, json=body)
        reply = await self._http.send(request, call)
        data = errors.WRITTEN.read(self.name, reply, lambda: errors.refusal(reply, Effect.WRITE))["d"]
        if ref is not None:
            with read_errors(self.name, Effect.WRITE):
                self.require_customer(ref, mapping.customer_in(data), call, reply, Effect.WRITE)
        return data


def _batch_request(refs: Sequence[CustomerRef]) -> VaultRequest:
    condition = " or ".join([f"id eq {ref}" for ref in refs]) if refs[1:] else f"id eq {refs[0]}"
    query = (("$filter", condition), _EXPAND_BATCH, _NO_PAGING)
    return VaultRequest(method="GET", path=_CUSTOMERS, query=query, route=_FILTERED)


def _added_in(data: Any, before: BeforeAdd, new: NewMethod) -> MethodRef | None:
    """The new profile if the reply shows it beyond doubt: some tenants return all profiles, in either order."""
    rows = _accounts_in(data)
    if len(mapping.account_refs(rows) - before.method_refs) != 1:
        return None
    return mapping.added_method(before.method_refs, rows, new.secret)


def _accounts_in(data: Any) -> list[Any]:
    """The profiles in the reply to a PUT, if it shows them."""
    accounts = data.get("PaymentAccounts") if isinstance(data, dict) else None
    rows = accounts.get("results") if isinstance(accounts, dict) else None
    return rows if isinstance(rows, list) else []
