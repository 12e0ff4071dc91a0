"""Updates a payment method: vault fields at its vault, the nickname in the directory."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Final

from app.errors import FieldFault
from app.store import Connection, Transaction
from app.store.directory import move_default_choice, set_method_nickname
from app.store.records import EventType, MethodAddress, NewEvent, OperationRecord
from app.vault.enums import AddressType, PaymentMethodStatus
from app.vault.model import Address, AddressLabels, Card, MethodChange, PaymentMethod, VaultWallet
from app.vault.provider import Call, VaultProvider
from app.vault.rules.etag import etag_of
from app.vault.rules.keepable import faults_of_labels
from app.wallet.commands import Actor, UpdateMethod, WriteResult
from app.wallet.digest import holder_digest
from app.wallet.problems import ProblemCode, WriteProblem, invalid, not_found
from app.wallet.reads.build_wallet import with_kept_holder
from app.wallet.writes.defaults import method_event
from app.wallet.writes.deps import find
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, applied_row, nickname_problems
from app.wallet.writes.intents import ChangeTarget, MethodFacts, UpdateCheck, UpdateMethodIntent
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.refusals import problems_of_faults
from app.wallet.writes.run import Applied, NotFound, ReconcileResult, WriteRun

_NOTHING: Final = MethodChange()


@dataclass(slots=True)
class _Memory:
    """The change, and the method that it was checked against."""

    change: MethodChange | None = None
    method: PaymentMethod | None = None
    status_field: str | None = None


class UpdateMethodHandler(WriteHandler[UpdateMethod, UpdateMethodIntent]):
    command = UpdateMethod
    mutation = "updatePaymentMethod"
    changes_methods = True

    def path_of(self, intent: UpdateMethodIntent, fault: FieldFault) -> tuple[str, ...]:
        return _path_of(fault)

    def prepare(
        self, tx: Connection, command: UpdateMethod, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[UpdateMethodIntent]:
        address, entry = self.method_of(tx, command.method_id, actor, "id")
        vault = self.vault_of(address.provider, "id")
        change = _change_of(command, vault)
        found = nickname_problems(command.nickname)
        if change == _NOTHING and command.nickname is None:
            found = (*found, invalid("The input changes nothing."))
        if change != _NOTHING:
            # Cards allow the most changes: one refused for a card needs no vault call.
            some_card = Card(provider=vault.name, customer_ref=address.customer_ref, method_ref=address.method_ref)
            faults = [
                *vault.faults_of_update(some_card, change),
                *faults_of_labels(change.address_labels, vault.capabilities),
            ]
            found = (*found, *problems_of_faults(faults, partial(_path_of, status_field=command.status_field)))
        if found:
            raise WriteRefused(*found)
        return PreparedWrite(
            intent=UpdateMethodIntent(
                refs=((address.provider, address.customer_ref),),
                method=address,
                nickname=command.nickname,
                if_match=command.if_match,
                target=self._target(change),
            ),
            customer_id=entry.customer.id,
            entry=entry,
            provider=address.provider,
            memory=_Memory(change, status_field=command.status_field),
        )

    def _target(self, change: MethodChange) -> ChangeTarget | None:
        """What the vault will list after the update; names and addresses only as digests. None: no call is needed."""
        if change == _NOTHING:
            return None
        key = self.deps.digest_keys.first
        return ChangeTarget(
            expiry=str(change.expiry) if change.expiry else None,
            active=change.active,
            is_secondary=change.is_secondary,
            title=holder_digest(key, change.title) if change.title else None,
            holder=holder_digest(key, str(change.holder)) if change.holder else None,
            address=holder_digest(key, _one_line(change.billing_address, change.address_labels))
            if change.billing_address
            else None,
        )

    async def execute(self, run: WriteRun[UpdateMethodIntent]) -> CompletedWrite:
        address, target = run.intent.method, run.intent.target
        await run.read_once("checked", UpdateCheck, lambda: self._check(run, address))
        if target is None:
            return await self._done(run, address, address)
        vault, memory = run.vault(address.provider), run.memory(_Memory)
        change, method = memory.change, memory.method

        async def send(call: Call) -> MethodFacts:
            assert method is not None
            assert change is not None
            return MethodFacts(method_ref=await vault.update(method, change, call))

        async def look(call: Call) -> ReconcileResult[MethodFacts]:
            wallet = await run.wallet(address.provider, address.customer_ref, call)
            held = find(wallet, address)
            is_done = held is not None and self._is_applied(held, wallet, target)
            return Applied(MethodFacts(method_ref=address.method_ref)) if is_done else NotFound()

        at = (address.provider, address.customer_ref)
        facts = await run.run_step(
            "update", MethodFacts, at, send if method is not None and change is not None else None, look
        )
        now = replace(address, method_ref=facts.method_ref)
        return await self._done(run, address, now)

    async def _check(self, run: WriteRun[UpdateMethodIntent], address: MethodAddress) -> UpdateCheck:
        """The etag, and the vault's rules for this method. A nickname alone needs no vault call."""
        if run.intent.target is None and run.intent.if_match is None:
            return UpdateCheck()
        method = find(await run.wallet(address.provider, address.customer_ref), address)
        if method is None:
            raise WriteRefused(not_found("The vault does not have this payment method.", "id"))
        if run.intent.if_match is not None:
            run.forget_entry()  # another write may have changed the names since
            entry = await run.entry()
            etag = etag_of(with_kept_holder(method, entry), entry.nicknames.get(address) if entry else None)
            if run.intent.if_match != etag:
                raise WriteRefused(_stale(etag))
        memory = run.memory(_Memory)
        if memory.change is not None and memory.change != _NOTHING:
            faults = run.vault(address.provider).faults_of_update(method, memory.change)
            if faults:
                raise WriteRefused(*problems_of_faults(faults, partial(_path_of, status_field=memory.status_field)))
        memory.method = method
        return UpdateCheck()

    def _is_applied(self, method: PaymentMethod, wallet: VaultWallet, target: ChangeTarget) -> bool:
        """True if the vault lists every requested value. Other fields are ignored."""
        return (
            target.expiry in (None, str(getattr(method, "expiry", None)))
            and target.active in (None, method.status is not PaymentMethodStatus.INACTIVE)
            and target.is_secondary in (None, bool(method.is_secondary))
            and self._is_text(method.title, target.title)
            and self._is_text(method.holder_name, target.holder)
            and any(self._is_text(one, target.address) for one in _addresses_of(method, wallet))
        )

    def _is_text(self, shown: str | None, digest: str | None) -> bool:
        if digest is None:
            return True
        return shown is not None and any(holder_digest(key, shown) == digest for key in self.deps.digest_keys)

    async def _done(
        self, run: WriteRun[UpdateMethodIntent], before: MethodAddress, now: MethodAddress
    ) -> CompletedWrite:
        customer_id, nickname = run.customer_id, run.intent.nickname

        def apply(tx: Transaction) -> None:
            if now != before:
                move_default_choice(tx, customer_id, before, now)
            if nickname is not None:
                set_method_nickname(tx, customer_id, now, nickname.strip() or None)

        return CompletedWrite(
            result=WriteResult(customer_id=customer_id, method=now, replaced=before if now != before else None),
            rows=applied_row(now),
            apply=(apply,),
            events=(_event(before, now),),
        )


def _path_of(fault: FieldFault, status_field: str | None = None) -> tuple[str, ...]:
    head, rest = fault.path[:1], fault.path[1:]
    if head == ("active",) and status_field is not None:
        return (status_field, *rest)
    names = {("title",): "nickname", ("address_labels",): "billing_address"}
    return (names[head], *rest) if head in names else fault.path


def _event(before: MethodAddress, now: MethodAddress) -> NewEvent:
    if now == before:
        return method_event(EventType.METHOD_UPDATED, now)
    return method_event(EventType.METHOD_REPLACED, now, replaced=before.method_ref)


def _change_of(command: UpdateMethod, vault: VaultProvider) -> MethodChange:
    """The gateway stores the nickname; a vault with titles also gets it as title, and keeps its title if the nickname
    is removed."""
    is_titled = vault.capabilities.titles_methods and bool((command.nickname or "").strip())
    return MethodChange(
        expiry=command.expiry,
        holder=command.holder,
        title=command.nickname if is_titled else None,
        billing_address=command.billing_address,
        address_labels=command.address_labels,
        active=command.active,
        is_secondary=command.is_secondary,
    )


def _addresses_of(method: PaymentMethod, wallet: VaultWallet) -> Iterator[str | None]:
    """The method's address as an update may have asked for it: the one for bills, and the one of any type with what
    the vault says about it."""
    yield _one_line(method.billing_address) if method.billing_address else None
    for one in (wallet.profile.addresses if wallet.profile else None) or ():
        if one.ref == method.address_ref:
            yield _one_line(one.address, one.labels)


def _one_line(address: Address, labels: AddressLabels | None = None) -> str:
    """An update that says something about the address sends its type too, BILLING by default."""
    parts = [value or "" for value in asdict(address).values()]
    if labels is not None:
        type_, primary = labels.type or AddressType.BILLING, "primary" if labels.is_primary else ""
        parts += [type_.value, labels.name or "", primary, str(labels.recipient or "")]
    return " | ".join(parts)


def _stale(etag: str) -> WriteProblem:
    return WriteProblem(
        ProblemCode.STALE_ETAG, "The method has changed since it was read.", ("if_match",), current_etag=etag
    )
