"""Finds objects by id. Unknown, tampered and mistyped ids, and ids that the caller may not see, give None."""

from collections.abc import Awaitable
from dataclasses import replace

from app.execution.selected import analyzed
from app.store.records import CustomerRecord, MethodAddress
from app.vault.enums import PaymentMethodStatus, ProviderName
from app.wallet.ids import IdKind, kind_of
from app.wallet.reads.wallet_cache import BuiltWallet
from resolvers.context import Info
from resolvers.errors import CustomerMerged, SourcesUnavailable
from resolvers.needs import customer_needs, method_needs
from resolvers.scopes import require
from resolvers.types.customer import READ_METHODS, Customer, read_customer
from resolvers.types.event import CUSTOMER_EVENTS, CustomerEvent
from resolvers.types.node import Node
from resolvers.types.operation import Operation
from resolvers.types.payment import Payment
from resolvers.types.payment_method import PaymentMethod, method_to_graph, methods_of

READ_CUSTOMERS = "customers:read"


def node(info: Info, any_id: str) -> Node | Awaitable[Node | None] | None:
    """Each kind checks its own scope; ids of other kinds are unknown."""
    kind = kind_of(any_id)
    return customer(info, any_id) if kind is IdKind.CUSTOMER else _other_node(info, any_id, kind)


async def _other_node(info: Info, any_id: str, kind: IdKind | None) -> Node | None:
    if kind is IdKind.METHOD:
        return await payment_method(info, any_id)
    if kind is IdKind.OPERATION:
        return await operation(info, any_id)
    if kind is IdKind.PAYMENT:
        require(info, READ_METHODS)
        return await payment(info, any_id)
    if kind is IdKind.EVENT:
        return await event(info, any_id)
    return None


def customer(info: Info, customer_id: str) -> Customer | Awaitable[Customer | None] | None:
    """No awaitable if nothing has to be read."""
    require(info, READ_CUSTOMERS)
    entry = info.context.cached_entry(customer_id)
    if entry is not None:
        return read_customer(info, entry)
    return _uncached_customer(info, customer_id) if kind_of(customer_id) is IdKind.CUSTOMER else None


async def _uncached_customer(info: Info, customer_id: str) -> Customer | None:
    info.context.loaders.announce(customer_id, analyzed(info, customer_needs), info)
    entry = await info.context.entry(customer_id)
    if entry is None:
        await refuse_merged(info, customer_id)
        return None
    found = read_customer(info, entry)
    return await found if isinstance(found, Awaitable) else found


async def refuse_merged(info: Info, customer_id: str) -> None:
    """Raises CustomerMerged for the former id of a customer, with the present one if the caller may see that."""
    may_see = info.context.caller.may_see
    into = await info.context.services.merged_into(customer_id) if may_see(customer_id) else None
    if into is not None:
        raise CustomerMerged(into if may_see(into) else None)


async def customer_by_external_id(info: Info, external_id: str) -> Customer | None:
    record = await info.context.services.directory.store.customer_by_external_id(external_id)
    return await _found(info, record)


async def customer_by_ref(info: Info, provider: ProviderName, ref: str) -> Customer | None:
    require(info, "links:read")
    services = info.context.services
    record = await services.directory.store.customer_by_ref(provider, services.canonical_ref(provider, ref))
    return await _found(info, record)


async def _found(info: Info, record: CustomerRecord | None) -> Customer | None:
    found = customer(info, record.id) if record else None
    return await found if isinstance(found, Awaitable) else found


async def payment(info: Info, payment_id: str) -> Payment | None:
    """A payment, if the caller may see its customer."""
    record = await info.context.services.payment(payment_id)
    if record is None or await info.context.entry(record.customer_id) is None:
        return None
    return Payment.of(record)


async def event(info: Info, event_id: str) -> CustomerEvent | None:
    """Events that only the audit trail has are not returned."""
    require(info, "audit:read")
    record = await info.context.services.events.event(event_id)
    if record is None or record.type not in CUSTOMER_EVENTS or record.customer_id is None:
        return None
    return CustomerEvent.of(record, info) if await info.context.entry(record.customer_id) else None


async def payment_method(info: Info, method_id: str) -> PaymentMethod | None:
    require(info, READ_METHODS)
    address = info.context.services.ids.decode(method_id)
    return await method_at(info, address) if address else None


async def method_if_readable(info: Info, address: MethodAddress) -> PaymentMethod | None:
    """Like `method_at`, but None instead of an error."""
    try:
        return await method_at(info, address)
    except SourcesUnavailable:
        return None


async def method_at(info: Info, address: MethodAddress) -> PaymentMethod | None:
    """Reads the method's vault. Its customer must still be linked there and visible to the caller."""
    context, provider = info.context, address.provider
    owner = await context.loaders.owners.load((provider, address.customer_ref))
    entry = await context.entry(owner) if owner else None
    link = entry.link(provider) if entry else None
    if entry is None or link is None or link.customer_ref != address.customer_ref:
        return None
    needed = analyzed(info, method_needs)
    reading = context.loaders.wallet(
        entry, needed, info, provider, lambda wallet: [one for one in wallet.methods if one.address == address]
    )
    built = reading if isinstance(reading, BuiltWallet) else await reading
    found = next((one for one in built.wallet.methods if one.address == address), None)
    if found is None:
        if built.wallet.nothing_answered([provider]):
            raise SourcesUnavailable
        return None
    is_inactive = found.status is PaymentMethodStatus.INACTIVE
    if is_inactive and await context.services.deleted_by_us(entry.customer.id, address):
        return method_to_graph(replace(found, status=PaymentMethodStatus.DELETED), entry)
    return methods_of(built)[found.id]


async def is_expected(info: Info, address: MethodAddress) -> bool:
    """True if a method missing from its vault's list should exist: it is linked, and was not deleted through the
    gateway.
    """
    owner = await info.context.loaders.owners.load((address.provider, address.customer_ref))
    return owner is not None and not await info.context.services.deleted_by_us(owner, address)


async def operation(info: Info, operation_id: str) -> Operation | None:
    """An operation, if the caller may see its customer; one without a customer only for the caller who started it."""
    require(info, READ_METHODS)
    if kind_of(operation_id) is not IdKind.OPERATION:
        return None
    record = await info.context.services.operations.operation(operation_id)
    if record is None:
        return None
    caller = info.context.caller
    is_theirs = caller.may_see(record.customer_id) if record.customer_id else record.caller == caller.key
    return Operation.of(record) if is_theirs else None
