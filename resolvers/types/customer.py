"""Customers. Directory data is available at once; the rest is read from vaults."""

from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Any, Final, Self

import strawberry

from app.vault.enums import AuthStatus, DefaultReason, DefaultState, UsableFor
from app.vault.rules.filter import MethodFilter, matches
from app.vault.rules.order import PaymentMethodOrder, newest_first
from app.wallet.reads.build_wallet import DefaultInfo, SourceRow, Wallet, WalletMethod, default_for_payment
from app.wallet.reads.customers import DirectoryEntry
from resolvers.context import Info
from resolvers.directives import ListSize, UpstreamCost
from resolvers.errors import BadUserInput, SourcesUnavailable
from resolvers.inputs.payment_method_filter import PaymentMethodFilter
from resolvers.scopes import scoped
from resolvers.types.event import CUSTOMER_EVENTS, CustomerEvent, EventConnection, EventEdge
from resolvers.types.link import ProviderLink
from resolvers.types.method_connection import PaymentMethodConnection, method_page
from resolvers.types.node import Node
from resolvers.types.paging import PageInfo, from_cursor, page_size, to_cursor
from resolvers.types.payment_method import GraphCard, PaymentMethod, auth_status_of, to_graph
from resolvers.types.sources import SourceStatus
from resolvers.wallets import ALL

READ_METHODS = "payment_methods:read"
_EVENT: Final = "event"
_MOST_EVENTS: Final = 100
_EVERYTHING: Final = MethodFilter()


@strawberry.type(description="The effective default and why it is that one.")
class DefaultMethodInfo:
    state: DefaultState
    reason: DefaultReason | None = strawberry.field(description="The rule that determined it; null unless RESOLVED.")
    set_at: datetime | None = strawberry.field(
        description="When the default was stored, if it is: set, or kept when a method was added."
    )
    set_by: str | None
    defaults: strawberry.Private[list[PaymentMethod]]

    @scoped(READ_METHODS, size=ListSize(assumed_size=4), description="Each vault's own default.")
    def provider_defaults(self) -> list[PaymentMethod] | None:
        return self.defaults


@strawberry.type(description="3-D Secure across the customer's cards.")
class AuthSummary:
    owner: strawberry.Private["Customer"]
    methods: strawberry.Private[list[PaymentMethod]]
    basis_method: strawberry.Private[PaymentMethod | None]
    is_default_known: strawberry.Private[bool]

    @strawberry.field(
        graphql_type=AuthStatus,
        description="The status of the effective default.",
        directives=[UpstreamCost(calls=1, per_method=True)],
    )
    def status(self, info: Info) -> AuthStatus | Awaitable[AuthStatus]:
        return _status_of_default(self.basis_method, self.is_default_known, info)

    @scoped(READ_METHODS, description="The method whose status it is.")
    def basis(self) -> PaymentMethod | None:
        return self.basis_method

    @scoped(
        READ_METHODS,
        calls=1,
        per_method=True,
        size=ListSize(assumed_size=10),
        description="Cards whose holder must still complete a challenge.",
    )
    async def challenge_pending(self, info: Info) -> list[GraphCard] | None:
        cards = [one for one in self.methods if isinstance(one, GraphCard)]
        info.context.budget.take_work(len(self.methods))
        readings = [auth_status_of(card, info) for card in cards]
        statuses = [one if isinstance(one, AuthStatus) else await one for one in readings]
        return [card for card, found in zip(cards, statuses, strict=True) if found is AuthStatus.CHALLENGE_REQUIRED]

    @strawberry.field(
        graphql_type=bool, description="False while a vault that could change the summary has not answered."
    )
    def is_complete(self, info: Info) -> bool | Awaitable[bool]:
        return _is_complete(self.owner.entry, info)


@strawberry.federation.type(keys=["id"], description="A person or business, in all vaults that know them.")
class Customer(Node):
    external_id: strawberry.ID = strawberry.field(description="The key under which the customer was created.")
    name: str | None
    email: str | None
    entry: strawberry.Private[DirectoryEntry]

    @scoped(
        READ_METHODS,
        graphql_type=list[PaymentMethod] | None,
        size=ListSize(assumed_size=10, slicing_arguments=["first"]),
        description="null only if no linked vault answered (plus an error with code SOURCES_UNAVAILABLE); [] means "
        "read and empty. first limits the list; sources show where a vault has more methods than were "
        "read.",
    )
    def payment_methods(
        self,
        info: Info,
        filter: PaymentMethodFilter | None = strawberry.UNSET,
        order_by: PaymentMethodOrder = PaymentMethodOrder.DEFAULT_FIRST,
        first: int | None = strawberry.UNSET,
    ) -> list[PaymentMethod] | Awaitable[list[PaymentMethod] | None] | None:
        services = info.context.services
        if isinstance(first, int) and not 1 <= first <= services.list_limit:
            raise BadUserInput(f"first must be from 1 to {services.list_limit}.")
        wanted = filter.to_rules(services.utc_now()) if filter else _EVERYTHING
        providers = ALL if wanted.providers is None else wanted.providers

        def answer(wallet: Wallet) -> list[PaymentMethod] | None:
            if wallet.nothing_answered(providers):
                raise SourcesUnavailable
            shown = methods_of(self, wallet, info)
            if wanted is not _EVERYTHING or order_by is not PaymentMethodOrder.DEFAULT_FIRST:
                info.context.budget.take_work(len(wallet.methods))
            return [shown[one.id] for one in _chosen(wallet, wanted, order_by)[: first or None]]

        return info.context.wallet_of(self.entry).when_read(providers, answer)

    @scoped(
        READ_METHODS,
        graphql_type=PaymentMethodConnection | None,
        size=ListSize(assumed_size=10, slicing_arguments=["first"], sized_fields=["edges"]),
        description="paymentMethods page by page; null where that is null.",
    )
    def payment_methods_connection(
        self,
        info: Info,
        filter: PaymentMethodFilter | None = strawberry.UNSET,
        order_by: PaymentMethodOrder = PaymentMethodOrder.DEFAULT_FIRST,
        first: int = 50,
        after: str | None = strawberry.UNSET,
    ) -> PaymentMethodConnection | Awaitable[PaymentMethodConnection | None] | None:
        services = info.context.services
        size = page_size(first, services.list_limit)
        wanted = filter.to_rules(services.utc_now()) if filter else _EVERYTHING
        providers = ALL if wanted.providers is None else wanted.providers

        def answer(wallet: Wallet) -> PaymentMethodConnection | None:
            if wallet.nothing_answered(providers):
                raise SourcesUnavailable
            shown = methods_of(self, wallet, info)
            info.context.budget.take_work(len(wallet.methods))
            return method_page(_chosen(wallet, wanted, order_by), shown, size, after or None)

        return info.context.wallet_of(self.entry).when_read(providers, answer)

    @scoped(
        READ_METHODS,
        graphql_type=PaymentMethod | None,
        description="Effective default; null when none OR unknown: read defaultMethodInfo.state before paying. With "
        "`usableFor`, the default among the methods usable for it.",
    )
    def default_method(
        self, info: Info, usable_for: UsableFor | None = strawberry.UNSET
    ) -> PaymentMethod | Awaitable[PaymentMethod | None] | None:
        def answer(wallet: Wallet) -> PaymentMethod | None:
            return default_of(self, wallet, info, usable_for or None)

        return info.context.wallet_of(self.entry).when_read(ALL, answer)

    @strawberry.field(
        graphql_type=DefaultMethodInfo,
        description="Why this default, or why none; with `usableFor`, for the default among the methods usable for it.",
    )
    def default_method_info(
        self, info: Info, usable_for: UsableFor | None = strawberry.UNSET
    ) -> DefaultMethodInfo | Awaitable[DefaultMethodInfo]:
        def answer(wallet: Wallet) -> DefaultMethodInfo:
            shown, choice = methods_of(self, wallet, info), wallet.default.choice
            default = _default(wallet, info, usable_for or None)
            return DefaultMethodInfo(
                state=default.state,
                reason=default.reason,
                set_at=choice.set_at if choice else None,
                set_by=choice.set_by if choice else None,
                defaults=[shown[one.id] for one in wallet.provider_defaults],
            )

        return info.context.wallet_of(self.entry).when_read(ALL, answer)

    @strawberry.field(
        graphql_type=AuthStatus,
        description="3-D Secure state of the effective default; a display hint, never a liability-shift promise.",
        directives=[UpstreamCost(calls=1, per_method=True)],
    )
    def auth_status(self, info: Info) -> AuthStatus | Awaitable[AuthStatus]:
        def answer(wallet: Wallet) -> AuthStatus | Awaitable[AuthStatus]:
            default = default_of(self, wallet, info)
            return _status_of_default(default, wallet.default.state is not DefaultState.UNKNOWN, info)

        found = info.context.wallet_of(self.entry).when_read(ALL, answer)
        return found if isinstance(found, AuthStatus) else _known(found)

    @strawberry.field(graphql_type=AuthSummary, description="3-D Secure across the customer's cards.")
    def auth_summary(self, info: Info) -> AuthSummary | Awaitable[AuthSummary]:
        def answer(wallet: Wallet) -> AuthSummary:
            shown = methods_of(self, wallet, info)
            info.context.budget.take_work(len(wallet.methods))
            listed = [shown[one.id] for one in _chosen(wallet, _EVERYTHING, PaymentMethodOrder.PROVIDER)]
            return AuthSummary(
                owner=self,
                methods=listed,
                basis_method=default_of(self, wallet, info),
                is_default_known=wallet.default.state is not DefaultState.UNKNOWN,
            )

        return info.context.wallet_of(self.entry).when_read(ALL, answer)

    @strawberry.field(
        graphql_type=list[SourceStatus],
        description="One row per provider, always all of them.",
        directives=[ListSize(assumed_size=4)],
    )
    def sources(self, info: Info) -> list[SourceRow] | Awaitable[list[SourceRow]]:
        return info.context.wallet_of(self.entry).rows()

    @strawberry.field(
        graphql_type=bool,
        description="True when every source is OK; NOT_LINKED, CUSTOMER_NOT_FOUND, DISABLED and SKIPPED (no selected "
        "field needs it) do not count against it.",
    )
    def is_complete(self, info: Info) -> bool | Awaitable[bool]:
        return _is_complete(self.entry, info)

    @scoped("links:read", size=ListSize(assumed_size=4), description="The customer's links to vaults.")
    def links(self) -> list[ProviderLink] | None:
        return [ProviderLink.of(link) for link in self.entry.links]

    @scoped(
        "audit:read",
        size=ListSize(assumed_size=_MOST_EVENTS, slicing_arguments=["first"], sized_fields=["edges"]),
        description="Changes to the customer's payment methods, newest first.",
    )
    async def events(self, info: Info, first: int = 20, after: str | None = strawberry.UNSET) -> EventConnection | None:
        size = page_size(first, _MOST_EVENTS)
        start = from_cursor(_EVENT, after) if after else None
        log = info.context.services.events
        page = await log.of_customer(self.id, first=size, after=start, types=CUSTOMER_EVENTS)
        edges = [EventEdge(cursor=to_cursor(_EVENT, one.id), node=CustomerEvent.of(one, info)) for one in page.events]
        return EventConnection(
            edges=edges,
            page_info=PageInfo(
                has_next_page=page.has_next,
                has_previous_page=start is not None,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
        )

    @classmethod
    def of(cls, entry: DirectoryEntry) -> Self:
        record = entry.customer
        return cls(
            id=strawberry.ID(record.id),
            external_id=strawberry.ID(record.external_id or ""),
            name=record.name,
            email=record.email,
            entry=entry,
        )

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID, **_: Any) -> "Customer | None":
        from resolvers.lookup import customer

        return await customer(info, id)


def methods_of(customer: Customer, wallet: Wallet, info: Info) -> dict[str, PaymentMethod]:
    """The wallet's methods as graph objects, created once per request."""
    context = info.context
    reader = context.services.reader
    return context.wallet_of(customer.entry).view(wallet, lambda one: to_graph(one, customer, reader))


def _default(wallet: Wallet, info: Info, usable_for: UsableFor | None) -> DefaultInfo:
    if usable_for is None:
        return wallet.default
    info.context.budget.take_work(len(wallet.methods))
    return default_for_payment(wallet, info.context.services.rules)


def default_of(
    customer: Customer, wallet: Wallet, info: Info, usable_for: UsableFor | None = None
) -> PaymentMethod | None:
    default = _default(wallet, info, usable_for).method_id
    return methods_of(customer, wallet, info)[default] if default else None


def _status_of_default(default: PaymentMethod | None, is_known: bool, info: Info) -> AuthStatus | Awaitable[AuthStatus]:
    if default is not None:
        return auth_status_of(default, info)
    return AuthStatus.NOT_APPLICABLE if is_known else AuthStatus.UNKNOWN


async def _known(found: Awaitable[AuthStatus | Awaitable[AuthStatus]]) -> AuthStatus:
    status = await found
    return status if isinstance(status, AuthStatus) else await status


def _is_complete(entry: DirectoryEntry, info: Info) -> bool | Awaitable[bool]:
    rows = info.context.wallet_of(entry).rows()
    return _are_harmless(rows) if isinstance(rows, list) else _once_harmless(rows)


def _are_harmless(rows: list[SourceRow]) -> bool:
    return all(row.is_harmless for row in rows)


async def _once_harmless(rows: Awaitable[list[SourceRow]]) -> bool:
    return _are_harmless(await rows)


def _chosen(wallet: Wallet, wanted: MethodFilter, order: PaymentMethodOrder) -> Sequence[WalletMethod]:
    if wanted is _EVERYTHING and order is PaymentMethodOrder.DEFAULT_FIRST:
        return wallet.visible
    return _ordered([one for one in wallet.methods if matches(wanted, one.method, one.status, one.capabilities)], order)


def _ordered(methods: list[WalletMethod], order: PaymentMethodOrder) -> list[WalletMethod]:
    """`methods` are grouped by vault."""
    if order is PaymentMethodOrder.DEFAULT_FIRST:
        return sorted(methods, key=lambda one: not one.is_default)
    if order is PaymentMethodOrder.NEWEST_FIRST:
        return sorted(methods, key=lambda one: newest_first(one.method))
    return methods
