"""Customers. Directory data is available at once; the rest is read from vaults."""

from collections.abc import Awaitable, Collection, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import strawberry
from strawberry import UNSET

from app.execution.encoded_lists import FixedList
from app.execution.encoded_objects import FIXED
from app.execution.selected import SelectedField, analyzed
from app.vault.enums import AuthStatus, DefaultReason, DefaultState, ProviderName, UsableFor
from app.vault.rules.filter import MethodFilter, matches
from app.vault.rules.order import PaymentMethodOrder, sort_key
from app.wallet.reads.build_wallet import DefaultInfo, Wallet, WalletMethod, awaited_default, default_for_payment
from app.wallet.reads.customers import DirectoryEntry
from app.wallet.reads.reader import HARMLESS, SourceReading
from app.wallet.reads.wallet_cache import BuiltWallet
from resolvers.context import Info
from resolvers.directives import ListSize, UpstreamCost
from resolvers.errors import BadUserInput, SourcesUnavailable
from resolvers.inputs.payment_method_filter import PaymentMethodFilter
from resolvers.needs import ALL, Given, Part, Reads, customer_needs, fields_needs, needs
from resolvers.scopes import scoped
from resolvers.types.event import CUSTOMER_EVENTS, MOST_EVENTS, EventConnection, event_position
from resolvers.types.link import ProviderLink
from resolvers.types.method_connection import PaymentMethodConnection, method_page
from resolvers.types.node import Node
from resolvers.types.paging import Cursor, PageSize, page_size
from resolvers.types.payment_method import (
    GraphCard,
    PaymentMethod,
    ShowsStatuses,
    WalletMethods,
    auth_status_of,
    methods_of,
)
from resolvers.types.profile import KEEPERS, KEEPERS_NAMES, VaultAddress, VaultContacts, addresses_in, contacts_in
from resolvers.types.sources import SourceStatus

READ_CUSTOMERS = "customers:read"
READ_METHODS = "payment_methods:read"
WantedMethods = Annotated[PaymentMethodFilter | None, strawberry.argument(description="Which methods to return.")]
OrderOfMethods = Annotated[PaymentMethodOrder, strawberry.argument(description="The order of the list.")]
OnlyUsableFor = Annotated[
    UsableFor | None, strawberry.argument(description="Choose only among methods that are usable for this.")
]
_EVERYTHING: Final = MethodFilter()
_PAGE: Final = 50


# ---- what the fields need ----------------------------------------------------------------------------------------


def _rules(info: Info, given: Given) -> MethodFilter:
    filter = given.get("filter")
    return filter.to_rules(info.context.services.utc_now()) if filter else _EVERYTHING


def _limit(info: Info, first: object) -> int | None:
    if first is None or first is strawberry.UNSET:
        return None
    most = info.context.services.list_limit
    if not isinstance(first, int) or not 1 <= first <= most:
        raise BadUserInput(f"first must be from 1 to {most}.")
    return first


def _vaults(info: Info, given: Given) -> Collection[ProviderName]:
    wanted = _rules(info, given).providers
    return ALL if wanted is None else wanted


def _vaults_of_list(info: Info, given: Given) -> Collection[ProviderName]:
    _limit(info, given.get("first"))
    return _vaults(info, given)


def _vaults_of_page(info: Info, given: Given) -> Collection[ProviderName]:
    page_size(given.get("first", _PAGE), info.context.services.list_limit)
    return _vaults(info, given)


def _listed(wallet: Wallet, info: Info, given: Given) -> Sequence[WalletMethod]:
    if not given:
        return wallet.visible
    order = given.get("order_by", PaymentMethodOrder.DEFAULT_FIRST)
    return _chosen(wallet, _rules(info, given), order)[: _limit(info, given.get("first"))]


def _cut(wallet: Wallet, info: Info, given: Given) -> Collection[ProviderName]:
    """The vaults of the methods that the limit of a list leaves out; none if the client gave a limit."""
    if _limit(info, given.get("first")) is not None:
        return ()
    order = given.get("order_by", PaymentMethodOrder.DEFAULT_FIRST)
    left_out = _chosen(wallet, _rules(info, given), order)[info.context.services.list_limit :]
    return {one.method.provider for one in left_out}


def _paged(wallet: Wallet, info: Info, given: Given) -> Sequence[WalletMethod]:
    order = given.get("order_by", PaymentMethodOrder.DEFAULT_FIRST)
    methods, services = _chosen(wallet, _rules(info, given), PaymentMethodOrder.PROVIDER), info.context.services
    size = page_size(given.get("first", _PAGE), services.list_limit)
    return method_page(wallet, methods, order, size, given.get("after") or None, services.ids).methods


def _default_method(wallet: Wallet, info: Info, given: Given) -> Sequence[WalletMethod]:
    found = wallet.method(_default(wallet, info, given.get("usable_for") or None).method_id)
    return (found,) if found is not None else ()


def _status_basis(wallet: Wallet, info: Info, given: Given) -> Sequence[WalletMethod]:
    found = wallet.default_method or awaited_default(wallet, info.context.services.rules)
    return (found,) if found is not None else ()


def _provider_defaults(wallet: Wallet, info: Info, given: Given) -> Sequence[WalletMethod]:
    return wallet.provider_defaults


def _visible(wallet: Wallet, info: Info, given: Given) -> Sequence[WalletMethod]:
    return wallet.visible


_STATUS_OF_DEFAULT: Final = needs(Reads(methods=_status_basis, has_status=True))


# ---- types -------------------------------------------------------------------------------------------------------


@strawberry.type(description="The effective default and why it is that one.")
class DefaultMethodInfo:
    state: DefaultState = strawberry.field(description="Whether there is a default.")
    reason: DefaultReason | None = strawberry.field(description="The rule that determined it; null unless RESOLVED.")
    set_at: datetime | None = strawberry.field(
        description="When the default was stored, if it is: set, or kept when a method was added."
    )
    set_by: str | None = strawberry.field(description="The key of the caller who set it, e.g. staff:ann.")
    defaults: strawberry.Private[list[PaymentMethod]]

    @scoped(
        READ_METHODS,
        size=ListSize(assumed_size=4),
        description="Each vault's own default.",
        metadata={FIXED: True},
    )
    def provider_defaults(self) -> list[PaymentMethod] | None:
        return self.defaults


@strawberry.type(description="3-D Secure across the customer's cards.")
class AuthSummary:
    wallet: strawberry.Private[Wallet]
    methods: strawberry.Private[list[PaymentMethod]]
    basis_method: strawberry.Private[PaymentMethod | None]

    @strawberry.field(
        graphql_type=AuthStatus,
        description="The status of the effective default, or of the pending method that will be it.",
        directives=[UpstreamCost(calls=1, per_method=True)],
        metadata=_STATUS_OF_DEFAULT,
    )
    def status(self, info: Info) -> AuthStatus | Awaitable[AuthStatus]:
        return _status_of_default(self.basis_method, self.wallet, info)

    @scoped(READ_METHODS, description="The method whose status it is.", metadata=needs(Reads(methods=_status_basis)))
    def basis(self) -> PaymentMethod | None:
        return self.basis_method

    @scoped(
        READ_METHODS,
        calls=1,
        per_method=True,
        size=ListSize(assumed_size=10),
        description="Cards whose holder must still complete a challenge.",
        metadata=needs(Reads(methods=_visible, has_status=True)),
    )
    async def challenge_pending(self, info: Info) -> list[GraphCard] | None:
        cards = [one for one in self.methods if isinstance(one, GraphCard)]
        info.context.budget.take_work(len(self.methods))
        readings = [auth_status_of(card, info) for card in cards]
        statuses = [one if isinstance(one, AuthStatus) else await one for one in readings]
        return [card for card, found in zip(cards, statuses, strict=True) if found is AuthStatus.CHALLENGE_REQUIRED]

    @strawberry.field(
        description="False while a vault that could change the summary has not answered.", metadata=needs(Part.SOURCES)
    )
    def is_complete(self, info: Info) -> bool:
        return _is_complete(self.wallet, info)


@strawberry.federation.type(keys=["id"], description="A person or business, in all vaults that know them.")
class Customer(Node, ShowsStatuses):
    external_id: strawberry.ID = strawberry.field(description="The key under which the customer was created.")
    name: str | None = strawberry.field(description="The name of the person or the business.")
    email: str | None = strawberry.field(description="The e-mail address with which the customer was created.")
    created_at: datetime = strawberry.field(description="When the gateway first stored the customer.")
    entry: strawberry.Private[DirectoryEntry]
    read: strawberry.Private[Wallet | Exception | None]
    methods: strawberry.Private[WalletMethods]
    rows: strawberry.Private[FixedList[SourceReading] | None] = None
    """Of `sources`; None if they show the calls of one request."""

    @property
    def wallet(self) -> Wallet:
        """What the customer's vaults contain. Raises what prevented reading them."""
        if self.read.__class__ is Wallet:
            return self.read
        assert isinstance(self.read, Exception), "the needs of the selection lack a field"
        raise self.read

    @scoped(
        READ_METHODS,
        graphql_type=list[PaymentMethod] | None,
        size=ListSize(assumed_size=10, slicing_arguments=["first"]),
        description="null only if no linked vault answered (plus an error with code SOURCES_UNAVAILABLE); [] means "
        "read and empty. At most `first`, and at most the gateway's limit (1,000 unless configured): if that "
        "leaves methods out, their vaults are PARTIAL and truncated in sources, and paymentMethodsConnection has all.",
        metadata={FIXED: True, **needs(Reads(methods=_listed, vaults=_vaults_of_list, cut=_cut))},
    )
    def payment_methods(
        self,
        info: Info,
        filter: WantedMethods = strawberry.UNSET,
        order_by: OrderOfMethods = PaymentMethodOrder.DEFAULT_FIRST,
        first: Annotated[
            int | None,
            strawberry.argument(description="At most this many; by default as many as the operator's limit allows."),
        ] = strawberry.UNSET,
    ) -> list[PaymentMethod] | None:
        limit = None if first is UNSET else _limit(info, first)
        wanted = _EVERYTHING
        if filter is not UNSET and filter is not None:
            wanted = filter.to_rules(info.context.services.utc_now())
        wallet = self.read if self.read.__class__ is Wallet else self.wallet
        if wallet.nothing_answered(ALL if wanted.providers is None else wanted.providers):
            raise SourcesUnavailable
        most, shown = limit or info.context.services.list_limit, self.methods
        if wanted is _EVERYTHING and order_by is PaymentMethodOrder.DEFAULT_FIRST:
            return shown.listed if len(shown.listed) <= most else shown.listed[:most]
        info.context.budget.take_work(len(wallet.methods))
        return [shown[one.id] for one in _chosen(wallet, wanted, order_by)[:most]]

    @scoped(
        READ_METHODS,
        graphql_type=PaymentMethodConnection | None,
        size=ListSize(assumed_size=1_000, slicing_arguments=["first"], sized_fields=["edges", "nodes"]),
        description="Everything that was read, page by page; null where paymentMethods is null. A cursor stays valid "
        "while methods are added, removed or become the default, but belongs to one orderBy.",
        metadata=needs(Reads(methods=_paged, vaults=_vaults_of_page)),
    )
    def payment_methods_connection(
        self,
        info: Info,
        filter: WantedMethods = strawberry.UNSET,
        order_by: OrderOfMethods = PaymentMethodOrder.DEFAULT_FIRST,
        first: PageSize = _PAGE,
        after: Cursor = strawberry.UNSET,
    ) -> PaymentMethodConnection | None:
        services = info.context.services
        size = page_size(first, services.list_limit)
        wanted = filter.to_rules(services.utc_now()) if filter else _EVERYTHING
        wallet = self.wallet
        if wallet.nothing_answered(ALL if wanted.providers is None else wanted.providers):
            raise SourcesUnavailable
        info.context.budget.take_work(len(wallet.methods))
        page = method_page(
            wallet,
            _chosen(wallet, wanted, PaymentMethodOrder.PROVIDER),
            order_by,
            size,
            after or None,
            services.ids,
        )
        asked = wallet.sources if wanted.providers is None else wanted.providers
        is_complete = all(wallet.sources[name].state in HARMLESS for name in asked)
        return page.to_connection(self.methods, is_complete=is_complete)

    @scoped(
        READ_METHODS,
        description="Effective default; null when none OR unknown: read defaultMethodInfo.state before paying. With "
        "`usableFor`, the default among the methods usable for it.",
        metadata={FIXED: True, **needs(Reads(methods=_default_method))},
    )
    def default_method(self, info: Info, usable_for: OnlyUsableFor = strawberry.UNSET) -> PaymentMethod | None:
        return self.default_of(info, usable_for or None)

    @strawberry.field(
        description="Why this default, or why none; with `usableFor`, for the default among the methods usable for it.",
        metadata={FIXED: True, **needs(Reads(methods=_provider_defaults))},
    )
    def default_method_info(self, info: Info, usable_for: OnlyUsableFor = strawberry.UNSET) -> DefaultMethodInfo:
        wallet, choice = self.wallet, self.wallet.default.choice
        default, shown = _default(wallet, info, usable_for or None), self.methods
        return DefaultMethodInfo(
            state=default.state,
            reason=default.reason,
            set_at=choice.set_at if choice else None,
            set_by=choice.set_by if choice else None,
            defaults=[shown[one.id] for one in wallet.provider_defaults],
        )

    @strawberry.field(
        graphql_type=AuthStatus,
        description="3-D Secure state of the effective default, or of the pending method that will be it "
        "(CHALLENGE_REQUIRED); a display hint, never a liability-shift promise.",
        directives=[UpstreamCost(calls=1, per_method=True)],
        metadata={FIXED: True, **_STATUS_OF_DEFAULT},
    )
    def auth_status(self, info: Info) -> AuthStatus | Awaitable[AuthStatus]:
        return _status_of_default(self.status_basis(info), self.wallet, info)

    @strawberry.field(description="3-D Secure across the customer's cards.", metadata=needs(Reads()))
    def auth_summary(self, info: Info) -> AuthSummary:
        wallet, shown = self.wallet, self.methods
        info.context.budget.take_work(len(wallet.methods))
        listed = [shown[one.id] for one in _chosen(wallet, _EVERYTHING, PaymentMethodOrder.PROVIDER)]
        return AuthSummary(wallet=wallet, methods=listed, basis_method=self.status_basis(info))

    @strawberry.field(
        graphql_type=list[SourceStatus],
        description="One row per provider, always all of them.",
        directives=[ListSize(assumed_size=4)],
        metadata={FIXED: True, **needs(Part.SOURCES)},
    )
    def sources(self, info: Info) -> list[SourceReading]:
        return info.context.loaders.sources(self.wallet, self.rows)

    @strawberry.field(
        description="True when every source is OK; NOT_LINKED, CUSTOMER_NOT_FOUND, DISABLED and SKIPPED (no selected "
        "field needs it) do not count against it.",
        metadata={FIXED: True, **needs(Part.SOURCES)},
    )
    def is_complete(self, info: Info) -> bool:
        return _is_complete(self.wallet, info)

    @scoped(
        READ_METHODS,
        graphql_type=list[VaultAddress] | None,
        size=ListSize(assumed_size=5),
        description=f"The addresses that vaults keep, whichever methods use them; {KEEPERS_NAMES} only. Null only if "
        "none of these vaults answered (plus an error with code SOURCES_UNAVAILABLE); sources says how each was read.",
        metadata=needs(Reads(only=KEEPERS)),
    )
    def addresses(self) -> list[VaultAddress] | None:
        return addresses_in(self.wallet) if KEEPERS else []

    @scoped(
        READ_CUSTOMERS,
        graphql_type=list[VaultContacts] | None,
        size=ListSize(assumed_size=2),
        description=f"How each linked vault can reach the customer, one row for each; {KEEPERS_NAMES} only. A vault "
        "that could not be read has a row that says so.",
        metadata=needs(Reads(only=KEEPERS)),
    )
    def vault_contacts(self) -> list[VaultContacts] | None:
        return contacts_in(self.wallet) if KEEPERS else []

    @scoped("links:read", size=ListSize(assumed_size=4), description="The customer's links to vaults.")
    def links(self) -> list[ProviderLink] | None:
        return [ProviderLink.of(link) for link in self.entry.links]

    @scoped(
        "audit:read",
        size=ListSize(assumed_size=MOST_EVENTS, slicing_arguments=["first"], sized_fields=["edges"]),
        description="Changes to the customer's payment methods, newest first.",
    )
    async def events(
        self, info: Info, first: PageSize = 20, after: Cursor = strawberry.UNSET
    ) -> EventConnection | None:
        size, start = page_size(first, MOST_EVENTS), event_position(after or None)
        log = info.context.services.events
        page = await log.of_customer(self.id, first=size, after=start, types=CUSTOMER_EVENTS)
        return EventConnection.of(page, start, info)

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID, **_: Any) -> "Customer | None":
        from resolvers.lookup import customer

        found = customer(info, id)
        return await found if isinstance(found, Awaitable) else found

    def status_basis(self, info: Info) -> PaymentMethod | None:
        default = self.default_of(info)
        if default is not None:
            return default
        awaited = awaited_default(self.wallet, info.context.services.rules)
        return None if awaited is None else self.methods[awaited.id]

    async def read_deferred(self, info: Info, fields: Sequence[SelectedField]) -> "Customer":
        """Implements `app.execution.deferred.ReadsDeferred`."""
        needed = fields_needs(fields)
        if not needed.has_fields:
            return self
        return await _once_read(self.entry, info.context.loaders.deferred_wallet(self.entry, needed, info))

    def default_of(self, info: Info, usable_for: UsableFor | None = None) -> PaymentMethod | None:
        default = _default(self.wallet, info, usable_for).method_id
        return self.methods[default] if default else None


def read_customer(info: Info, entry: DirectoryEntry) -> Customer | Awaitable[Customer]:
    """The customer with what the field's selection needs from the vaults. No awaitable if nothing has to be read."""
    needed = analyzed(info, customer_needs)
    if needed.deferred:
        info.context.loaders.read_ahead(entry, needed, info)
    if not needed.has_fields:
        return _customer(entry, None, WalletMethods())
    built = info.context.loaders.wallet(entry, needed, info)
    return customer_of(built) if isinstance(built, BuiltWallet) else _once_read(entry, built)


async def _once_read(entry: DirectoryEntry, reading: Awaitable[BuiltWallet]) -> Customer:
    try:
        return customer_of(await reading)
    except Exception as bug:  # noqa: BLE001 - reported by each field that needs a vault; the others are shown
        return _customer(entry, bug, WalletMethods())


def customer_of(built: BuiltWallet) -> Customer:
    """The same object for the same wallet."""
    found: Customer | None = built.customer
    if found is None:
        found = built.customer = _customer(built.wallet.entry, built.wallet, methods_of(built))
        if built.is_without_calls:
            found.rows = FixedList(built.wallet.sources.values())
            found.parts, found.is_fixed = 1 + len(found.methods), True
    return found


def _customer(entry: DirectoryEntry, read: Wallet | Exception | None, methods: WalletMethods) -> Customer:
    record = entry.customer
    return Customer(
        id=strawberry.ID(record.id),
        external_id=strawberry.ID(record.external_id or ""),
        name=record.name,
        email=record.email,
        created_at=record.created_at,
        entry=entry,
        read=read,
        methods=methods,
    )


def _default(wallet: Wallet, info: Info, usable_for: UsableFor | None) -> DefaultInfo:
    if usable_for is None:
        return wallet.default
    info.context.budget.take_work(len(wallet.methods))
    return default_for_payment(wallet, info.context.services.rules)


def _status_of_default(default: PaymentMethod | None, wallet: Wallet, info: Info) -> AuthStatus | Awaitable[AuthStatus]:
    if default is not None:
        return auth_status_of(default, info)
    is_known = wallet.default.state is not DefaultState.UNKNOWN
    return AuthStatus.NOT_APPLICABLE if is_known else AuthStatus.UNKNOWN


def _is_complete(wallet: Wallet, info: Info) -> bool:
    return all(row.state in HARMLESS for row in info.context.loaders.sources(wallet))


def _chosen(wallet: Wallet, wanted: MethodFilter, order: PaymentMethodOrder) -> Sequence[WalletMethod]:
    if wanted is _EVERYTHING and order is PaymentMethodOrder.DEFAULT_FIRST:
        return wallet.visible
    return _ordered([one for one in wallet.methods if matches(wanted, one.method, one.status, one.capabilities)], order)


def _ordered(methods: list[WalletMethod], order: PaymentMethodOrder) -> list[WalletMethod]:
    """`methods` are grouped by vault."""
    if order is PaymentMethodOrder.DEFAULT_FIRST:
        return sorted(methods, key=lambda one: not one.is_default)
    if order is PaymentMethodOrder.PROVIDER:
        return methods
    return sorted(methods, key=lambda one: sort_key(one.method, order, is_first=False))
