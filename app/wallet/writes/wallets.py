"""Wallet reads during writes: fresh reads of one vault for the write, cached reads of all vaults for additional
results."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from app.store.records import DirectoryEntry, MethodAddress
from app.vault.enums import ExpiryState, PaymentMethodStatus, ProviderCapability, ProviderName
from app.vault.model import PaymentMethod
from app.vault.provider import Call
from app.vault.rules.expiry import ExpiryClock
from app.vault.rules.lookalikes import look_of
from app.vault.rules.usable import is_usable, is_usable_but_for_expiry
from app.wallet.problems import ProblemCode, WriteProblem
from app.wallet.reads.build_wallet import Wallet, build_wallet
from app.wallet.writes.deps import Deps, loop_time, until

_ADDITIONAL_READ_S = 1.5  # the longest wait for additional results


async def read_wallet(
    deps: Deps, entry: DirectoryEntry, call: Call, *, force_fresh: Collection[ProviderName] = ()
) -> Wallet:
    """All linked vaults in parallel, cached except those in `force_fresh`; failures are in `sources`."""
    links = {link.provider: link.customer_ref for link in entry.links if link.provider in deps.providers}
    cached = await deps.reader.read(links, [name for name in links if name not in force_fresh], call)
    fresh = await deps.reader.read(links, list(force_fresh), call, force_fresh=True)
    return build_wallet(entry, {**cached, **fresh}, deps.rules, deps.utc_now())


async def effective_default(deps: Deps, entry: DirectoryEntry, call: Call) -> MethodAddress | None:
    """The current default: the customer's choice without a vault call, else by the rules."""
    if entry.choice is not None and not entry.choice.is_kept:
        return address_of_choice(entry)
    if not entry.links:
        return None
    found = (await read_wallet(deps, entry, with_short_deadline(call))).default_method
    return found.address if found else None


def address_of_choice(entry: DirectoryEntry) -> MethodAddress | None:
    choice = entry.choice
    return MethodAddress(choice.provider, choice.customer_ref, choice.method_ref) if choice else None


async def lookalikes(
    deps: Deps, entry: DirectoryEntry, look: str | None, but: MethodAddress, call: Call
) -> list[MethodAddress]:
    """Visible methods of the customer with this look, in any vault that answers quickly."""
    if look is None:
        return []
    return _alike(await read_wallet(deps, entry, with_short_deadline(call)), look, but)


def _alike(wallet: Wallet, look: str, but: MethodAddress) -> list[MethodAddress]:
    shown = (one for one in wallet.methods if one.status.value not in ("INACTIVE", "DELETED"))
    return [one.address for one in shown if one.address != but and look_of(one.method) == look]


def alike_in(wallet: Wallet, address: MethodAddress) -> list[MethodAddress]:
    """Visible methods that look like this one."""
    method = next((one for one in wallet.methods if one.address == address), None)
    look = look_of(method.method) if method else None
    return [] if look is None else _alike(wallet, look, address)


def expiry_state(deps: Deps, method: PaymentMethod) -> ExpiryState:
    return ExpiryClock.at(deps.utc_now(), 0).state_of(method)


def unfit_as_default(deps: Deps, method: PaymentMethod, *path: str, allow_expired: bool = False) -> WriteProblem | None:
    """Why this method cannot be a default; None if it can."""
    expiry = expiry_state(deps, method)
    if is_usable(method, expiry):
        return None
    if is_usable_but_for_expiry(method):
        if allow_expired:
            return None
        if expiry is not ExpiryState.EXPIRED and method.status is not PaymentMethodStatus.EXPIRED:
            message = "The card's expiry cannot be read; it may have passed."
            return WriteProblem(ProblemCode.METHOD_NOT_USABLE, message, path)
        return WriteProblem(ProblemCode.METHOD_EXPIRED, "The card is expired.", path)
    return WriteProblem(ProblemCode.METHOD_NOT_USABLE, "The method cannot be used now.", path)


def why_no_default_pays(deps: Deps, wallet: Wallet, *path: str) -> WriteProblem:
    """The problem for a customer without a default that can pay: names the chosen method and the reason."""
    choice = wallet.entry.choice
    if choice is None or choice.is_kept:
        message = "The customer has no default among the methods that can pay: choose one, or name the method."
        return WriteProblem(ProblemCode.DEFAULT_REQUIRED, message, path)
    vault = deps.providers.get(choice.provider)
    held = next((one for one in wallet.methods if one.address == choice.address), None)
    if vault is None or ProviderCapability.PAY not in vault.capabilities.operations:
        problem = WriteProblem(
            ProblemCode.UNSUPPORTED_BY_PROVIDER,
            "Its vault does not support payments with stored methods.",
            path,
            provider=choice.provider,
        )
    elif held is None:
        problem = WriteProblem(ProblemCode.METHOD_NOT_USABLE, "Its vault does not list it now.", path)
    else:
        unusable = WriteProblem(ProblemCode.METHOD_NOT_USABLE, "The method cannot be used now.", path)
        problem = unfit_as_default(deps, held.method, *path) or unusable
    name = held.id if held else deps.ids.encode(choice.provider, choice.customer_ref, choice.method_ref)
    return replace(problem, message=f"The customer's chosen default, {name}, cannot pay. {problem.message}")


def duplicate_warnings(found: Iterable[MethodAddress]) -> tuple[WriteProblem, ...]:
    return tuple(
        WriteProblem(ProblemCode.DUPLICATE, "The customer has a method that looks the same.", existing=address)
        for address in found
    )


def with_short_deadline(call: Call) -> Call:
    """A shorter deadline, for additional results."""
    return until(call, min(call.deadline_at, loop_time() + _ADDITIONAL_READ_S))
