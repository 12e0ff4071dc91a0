"""Creates a customer and, if requested, its records in the vaults; one result row per vault."""

from collections.abc import Mapping
from typing import Any

from app.errors import FieldFault
from app.store import Connection, Transaction
from app.store.directory import create_customer
from app.store.errors import ExternalIdTaken, UnstorableText
from app.store.records import EventType, NewEvent, OperationRecord, OperationState, WriteOutcome
from app.store.ulids import CUSTOMER, new_id
from app.vault.enums import CustomerRef, ProviderName
from app.vault.model import NewCustomer
from app.vault.rules.keepable import faults_of_labels
from app.wallet.commands import Actor, CreateCustomer, WriteResult
from app.wallet.problems import ProblemCode, WriteProblem, invalid, required, unsupported
from app.wallet.writes import provision
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, row_of
from app.wallet.writes.intents import CreateCustomerIntent
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.refusals import problems_of_faults
from app.wallet.writes.run import WriteRun
from app.wallet.writes.vault_results import VaultResult, gather_results, run_at_vault, summary

_PATH = "provision_at"


class CreateCustomerHandler(WriteHandler[CreateCustomer, CreateCustomerIntent]):
    command = CreateCustomer
    mutation = "createCustomer"

    def digest(self, command: CreateCustomer) -> Mapping[str, Any]:
        return {**super().digest(command), "provision_at": sorted(set(command.provision_at))}

    def prepare(
        self, tx: Connection, command: CreateCustomer, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[CreateCustomerIntent]:
        wanted = tuple(dict.fromkeys(command.provision_at))
        new = NewCustomer(
            external_id=command.external_id,
            name=command.name,
            business_name=command.business_name,
            email=command.email,
            phone=command.phone,
            address=command.address,
            address_labels=command.address_labels,
        )
        found = _own_faults(command)
        for name in wanted:
            found += self._vault_faults(name, new)
        if found:
            raise WriteRefused(*dict.fromkeys(found))
        customer_id = known.customer_id if known else None
        made = customer_id or new_id(CUSTOMER)

        def within(tx: Transaction) -> None:
            _create(tx, command, made)

        return PreparedWrite(
            intent=CreateCustomerIntent(
                refs=tuple((name, provision.lock_ref(made)) for name in wanted), provision_at=wanted
            ),
            customer_id=made,
            provider=None,
            rows=tuple(
                row_of(number, name, OperationState.PENDING, WriteOutcome.UNKNOWN) for number, name in enumerate(wanted)
            ),
            within=within,
            memory=provision.ProvisionMemory(new),
        )

    def _vault_faults(self, name: ProviderName, new: NewCustomer) -> tuple[WriteProblem, ...]:
        vault = self.deps.providers.get(name)
        if vault is None:
            return (unsupported(name, "This vault is not enabled here.", _PATH),)
        if not vault.capabilities.creates_customers:
            return (unsupported(name, "This vault creates customers only with a payment method.", _PATH),)
        labels = faults_of_labels(new.address_labels, vault.capabilities)
        return problems_of_faults([*vault.faults_of_customer(new), *labels], _path_of)

    async def execute(self, run: WriteRun[CreateCustomerIntent]) -> CompletedWrite:
        endings = await gather_results(self._at_vault(run, name) for name in run.intent.provision_at)
        customer_id = run.customer_id
        created = NewEvent(type=EventType.CUSTOMER_CREATED, once=f"created|{customer_id}")
        return summary(endings, WriteResult(customer_id=customer_id), events=(created,))

    async def _at_vault(self, run: WriteRun[CreateCustomerIntent], name: ProviderName) -> VaultResult:
        async def make() -> CustomerRef:
            entry = await run.entry()
            linked = entry.link(name) if entry else None
            if linked is not None:
                return linked.customer_ref
            return await provision.create(run, name)

        return await run_at_vault(name, make, _PATH)


def _path_of(fault: FieldFault) -> tuple[str, ...]:
    return ("address", *fault.path[1:]) if fault.path[:1] == ("address_labels",) else fault.path


def _own_faults(command: CreateCustomer) -> list[WriteProblem]:
    found: list[WriteProblem] = []
    if not command.external_id.strip():
        found.append(required("A customer needs an external id.", "external_id"))
    elif len(command.external_id) > 255:
        found.append(invalid("An external id has at most 255 characters.", "external_id"))
    if not (command.name.first or command.name.last or command.business_name):
        found.append(required("A customer needs a name.", "name"))
    for path, value in ((("name", "first"), command.name.first), (("name", "last"), command.name.last)):
        if len(value) > 255:
            found.append(invalid("A name has at most 255 characters.", *path))
    return found


def _taken() -> WriteProblem:
    return WriteProblem(ProblemCode.DUPLICATE, "Another customer has this external id.", ("external_id",))


def _create(tx: Transaction, command: CreateCustomer, customer_id: str) -> None:
    try:
        create_customer(
            tx,
            customer_id=customer_id,
            external_id=command.external_id,
            first_name=command.name.first or None,
            last_name=command.name.last or None,
            business_name=command.business_name,
            email=command.email,
            phone=command.phone,
        )
    except ExternalIdTaken:
        raise WriteRefused(_taken()) from None
    except UnstorableText:
        raise WriteRefused(invalid("The input has characters that cannot be stored.")) from None
