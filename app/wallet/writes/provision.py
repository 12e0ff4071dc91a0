"""Creates a customer's record in a vault and links it: with an add, or for `createCustomer`."""

from dataclasses import dataclass, replace
from typing import Final

from app.errors import FieldFault
from app.store import Transaction
from app.store.directory import link_customer
from app.store.directory_reads import links_of_customers
from app.store.errors import LinkConflict
from app.store.events import append_event
from app.store.records import DirectoryEntry, EventType, LinkConflictReason, LinkRecord, MethodAddress, NewEvent
from app.vault.enums import CustomerRef, LinkProof, ProviderName
from app.vault.model import NewCustomer, NewMethod, PersonName
from app.vault.provider import Call, VaultProvider
from app.vault.rules.text import tidy
from app.wallet.problems import ProblemCode, WriteProblem, unsupported
from app.wallet.writes.intents import AddMethodIntent, CustomerFacts, Intent, ProfileFacts
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.match_new_method import candidates
from app.wallet.writes.refusals import problems_of_faults
from app.wallet.writes.run import Ambiguous, Applied, NotFound, ReconcileResult, WriteRun

PROFILE: Final = "profile"
CUSTOMER_FIELDS: Final = frozenset({"name", "business_name", "email", "phone", "external_id", "address"})


@dataclass(frozen=True, slots=True)
class ProvisionMemory:
    """The customer to create. Name and address are stored only in the directory and the vault."""

    customer: NewCustomer | None = None


def lock_ref(customer_id: str) -> CustomerRef:
    """A placeholder for a vault's customer that does not exist yet. No vault's ref begins with "?"."""
    return CustomerRef(f"?{customer_id}")


def step_of(name: ProviderName) -> str:
    return f"create:{name.value}"


def prepared(
    vault: VaultProvider, entry: DirectoryEntry, new: NewMethod, card_on_file_reference: str | None = None
) -> tuple[NewMethod, NewCustomer]:
    """The customer to create, from the directory and the method's billing address. Raises Refused.

    A vault that needs the customer's address, but accepts none with a method, gets it with the customer.
    """
    record = entry.customer
    customer = NewCustomer(
        external_id=record.external_id or "",
        name=PersonName(tidy(record.first_name or ""), tidy(record.last_name or "")),
        business_name=record.business_name,
        email=record.email,
        phone=record.phone,
        address=new.billing_address,
        address_labels=new.address_labels,
        card_on_file_reference=card_on_file_reference,
    )
    if vault.capabilities.creates_customer_with_method:
        return new, customer
    if not vault.capabilities.creates_customers:
        raise WriteRefused(
            unsupported(vault.name, "The gateway cannot create customers at this vault: link one.", "provision")
        )
    if any(fault.path[:1] == ("address",) for fault in vault.faults_of_customer(replace(customer, address=None))):
        new = replace(new, billing_address=None)
    faults = vault.faults_of_customer(customer)
    if faults:
        raise WriteRefused(*problems_of_faults(faults, path_of))
    return new, customer


def path_of(fault: FieldFault) -> tuple[str, ...]:
    """Only the address is an input here; the other fields are the customer's data, missing in the directory."""
    return ("billing_address", *fault.path[1:]) if fault.path[:1] == ("address",) else ("provision", *fault.path)


def is_profile(run: WriteRun[Intent], name: ProviderName, link: LinkRecord | None) -> bool:
    """True if customer and method are, or were, created in one call."""
    if PROFILE in run.progress.doing or PROFILE in run.progress.done:
        return True
    return link is None and run.vault(name).capabilities.creates_customer_with_method


async def create(run: WriteRun[Intent], name: ProviderName) -> CustomerRef:
    vault, customer = run.vault(name), run.memory(ProvisionMemory).customer

    async def send(call: Call) -> CustomerFacts:
        assert customer is not None
        return CustomerFacts(customer_ref=await vault.create_customer(customer, call))

    async def look(call: Call) -> ReconcileResult[CustomerFacts]:
        return await _look_for_customer(run, vault, call)

    facts = await run.run_step(step_of(name), CustomerFacts, (name, None), send if customer is not None else None, look)
    await link(run, name, facts.customer_ref)
    return facts.customer_ref


async def _look_for_customer(run: WriteRun[Intent], vault: VaultProvider, call: Call) -> ReconcileResult[CustomerFacts]:
    """By the link, if it was made (by an earlier run or an operator), else by the external id at the vault."""
    run.forget_entry()  # it may have been linked since
    entry = await run.entry()
    made = entry.link(vault.name) if entry else None
    if made is not None:
        return Applied(CustomerFacts(customer_ref=made.customer_ref))
    if entry is None or not vault.capabilities.finds_customers_by_external_id:
        return Ambiguous()
    found = await vault.find_customer(entry.customer.external_id or "", call)
    return Applied(CustomerFacts(customer_ref=found)) if found is not None else NotFound()


async def create_with_method(run: WriteRun[AddMethodIntent], name: ProviderName) -> MethodAddress:
    """Create both in one call. If the answer is lost, only an operator can find the record and link it."""
    vault, new, customer = run.vault(name), run.new, run.memory(ProvisionMemory).customer
    is_known = new is not None and customer is not None

    async def send(call: Call) -> ProfileFacts:
        assert new is not None
        assert customer is not None
        added = await vault.create_with_method(customer, new, call)
        run.next_action = added.next_action
        return ProfileFacts(customer_ref=added.customer_ref, method_ref=added.method_ref)

    async def look(call: Call) -> ReconcileResult[ProfileFacts]:
        return await _look_for_profile(run, name, call)

    facts = await run.run_step(PROFILE, ProfileFacts, (name, None), send if is_known else None, look)
    await link(run, name, facts.customer_ref)
    return MethodAddress(name, facts.customer_ref, facts.method_ref)


async def _look_for_profile(
    run: WriteRun[AddMethodIntent], name: ProviderName, call: Call
) -> ReconcileResult[ProfileFacts]:
    run.forget_entry()  # it may have been linked since
    entry = await run.entry()
    made = entry.link(name) if entry else None
    if made is None:
        return Ambiguous()
    wallet = await run.wallet(name, made.customer_ref, call)
    found = candidates((), wallet.methods, run.intent.look, (), run.deps.digest_keys)
    if len(found) == 1:
        return Applied(ProfileFacts(customer_ref=made.customer_ref, method_ref=found[0]))
    return Ambiguous(tuple(found)) if found else NotFound()


async def link(run: WriteRun[Intent], name: ProviderName, ref: CustomerRef) -> LinkRecord:
    """Committed at once, before further steps: a lost link would leave an orphaned record in the vault."""
    event = NewEvent(type=EventType.LINK_CHANGED, provider=name, customer_ref=ref, detail={"linked": True})

    def make(tx: Transaction) -> LinkRecord:
        known = links_of_customers(tx, [run.customer_id])[run.customer_id]
        proof, by = LinkProof.CREATED_BY_GATEWAY, run.progress.by
        made = link_customer(tx, run.customer_id, name, ref, proof=proof, linked_by=by)
        if made not in known:
            append_event(tx, run.attributed(event))
        return made

    try:
        made = await run.deps.store.transaction(make)
    except LinkConflict as conflict:
        raise WriteRefused(link_conflict(name, conflict.reason)) from None
    run.forget_entry()
    run.deps.reached(f"linked:{name.value}")
    return made


def link_conflict(name: ProviderName, reason: LinkConflictReason, *path: str) -> WriteProblem:
    is_taken = reason is LinkConflictReason.REF_TAKEN
    return WriteProblem(
        ProblemCode.LINK_CONFLICT,
        (
            "The vault's customer is linked to another customer: unlink it there first."
            if is_taken
            else "The customer is linked to another record of this vault: unlink that one first."
        ),
        path,
        provider=name,
    )
