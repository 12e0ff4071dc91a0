"""Adds a payment method: duplicate check, the vault's customer if missing, the add, the default."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from msgspec import structs

from app.errors import FieldFault, OutcomeUnknown, VaultError
from app.store import Connection
from app.store.directory import set_holder_name, set_method_nickname
from app.store.records import (
    EventType,
    MethodAddress,
    OperationRecord,
    OperationState,
    WriteOutcome,
)
from app.vault.added_later import named_values
from app.vault.enums import AddRoute, CustomerRef, MethodRef, ProviderName
from app.vault.model import BeforeAdd, NewCard, NewMethod, VaultWallet
from app.vault.provider import Call, VaultProvider
from app.vault.rules.keepable import faults_of_labels, faults_of_status
from app.vault.rules.lookalikes import look_of
from app.vault.secret import Secret
from app.wallet.commands import Actor, AddMethod, OnDuplicate, WriteResult
from app.wallet.defaults.kept_default import default_taken_away
from app.wallet.digest import Number, Token, token_digest
from app.wallet.problems import ProblemCode, WriteProblem, invalid, not_found, unsupported
from app.wallet.reads.build_wallet import Wallet
from app.wallet.writes import provision
from app.wallet.writes.defaults import (
    NOT_MIRRORED,
    choose,
    keeps,
    method_event,
    mirrors,
    set_vault_default,
)
from app.wallet.writes.deps import find, fresh_wallet
from app.wallet.writes.handler import Apply, CompletedWrite, PreparedWrite, WriteHandler, applied_row, nickname_problems
from app.wallet.writes.intents import AddMethodIntent, BeforeAddNote, Intent, MethodFacts, token_of
from app.wallet.writes.interrupts import NotApplied, NothingSent, WriteRefused
from app.wallet.writes.match_new_method import candidates, describe_new_method, name_of_holder
from app.wallet.writes.refusals import in_progress, problems_of, problems_of_faults, proven_absent
from app.wallet.writes.run import Ambiguous, Applied, NotFound, ReconcileResult, WriteRun
from app.wallet.writes.stored_result import to_address
from app.wallet.writes.wallets import alike_in, duplicate_warnings, read_wallet, unfit_as_default, with_short_deadline


class AddMethodHandler(WriteHandler[AddMethod, AddMethodIntent]):
    command = AddMethod
    mutation = "addPaymentMethod"
    changes_methods = True

    def digest(self, command: AddMethod) -> Mapping[str, Any]:
        reference = command.card_on_file_reference
        return {
            **({} if reference is None else {"card_on_file_reference": reference}),
            "customer_id": command.customer_id,
            "method": method_digest(command.method),
            "nickname": command.nickname,
            "make_default": command.make_default,
            "provision": command.provision,
            "on_duplicate": command.on_duplicate,
        }

    def path_of(self, intent: AddMethodIntent, fault: FieldFault) -> tuple[str, ...]:
        head = fault.path[:1]
        if head and head[0] in provision.CUSTOMER_FIELDS:
            return provision.path_of(fault)
        if head == ("address_labels",):
            return ("billing_address", *fault.path[1:])
        if head == ("card_on_file_reference",):
            return fault.path
        if head in (("status",), ("active",)):
            return ("status",)
        if head == ("billing_address",):
            return fault.path
        if head == ("title",) and intent.nickname is not None:
            return ("nickname",)
        if head == ("secret",):
            return (*intent.path, intent.secret)
        return (*intent.path, *fault.path)

    # ---- checks without a vault call ----

    def prepare(
        self, tx: Connection, command: AddMethod, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[AddMethodIntent]:
        entry = self.entry_of(tx, command.customer_id, actor)
        name = command.method.provider
        vault = self.vault_of(name, *command.method_path)
        link = entry.link(name)
        new, memory = _with_title(command, vault), provision.ProvisionMemory()
        if link is None:
            if not command.provision:
                raise WriteRefused(_not_linked(name))
            new, customer = provision.prepared(vault, entry, new, command.card_on_file_reference)
            memory = provision.ProvisionMemory(customer)
        ref = link.customer_ref if link else provision.lock_ref(entry.customer.id)
        intent = AddMethodIntent(
            refs=((name, ref),),
            provider=name,
            path=command.method_path,
            secret=command.secret_field,
            nickname=command.nickname,
            make_default=command.make_default,
            on_duplicate=command.on_duplicate,
            look=describe_new_method(command.method, self.deps.digest_keys.first),
            token=self._token(vault, command.method, self.deps.digest_keys.first),
            holder_name=holder_to_keep(vault, command.method),
            replaces_others=False,
        )
        is_created = link is None or known is not None  # an operation that runs again may have linked it
        self._refuse_faults(command, vault, new, intent, is_created=is_created)
        return PreparedWrite(
            intent=intent, customer_id=entry.customer.id, entry=entry, provider=name, new=new, memory=memory
        )

    def _refuse_faults(
        self, command: AddMethod, vault: VaultProvider, new: NewMethod, intent: AddMethodIntent, *, is_created: bool
    ) -> None:
        if new.route is AddRoute.RAW_CARD and AddRoute.RAW_CARD not in vault.capabilities.add_via:
            raise WriteRefused(_raw_card_disabled(command.method_path))
        found = (
            *nickname_problems(command.nickname),
            *problems_of_faults(_faults(vault, new), lambda fault: self.path_of(intent, fault)),
            *_unfit_as_default(command),
            *_misplaced_reference(command, vault, is_created),
        )
        if found:
            raise WriteRefused(*found)

    # ---- execution ----

    async def execute(self, run: WriteRun[AddMethodIntent]) -> CompletedWrite:
        name = run.intent.provider
        entry = await run.entry()
        if entry is None:
            raise WriteRefused(not_found("There is no such customer.", "customer_id"))
        link = entry.link(name)
        if provision.is_profile(run, name, link):
            address, was_duplicate = await provision.create_with_method(run, name), False
        else:
            ref = link.customer_ref if link else await provision.create(run, name)
            address, was_duplicate = await self._add(run, name, ref)
        return await self._follow_up(run, address, was_duplicate)

    async def _add(
        self, run: WriteRun[AddMethodIntent], name: ProviderName, ref: CustomerRef
    ) -> tuple[MethodAddress, bool]:
        """The method's address, and whether the vault already had it."""
        before = await run.read_once("before", BeforeAddNote, lambda: self._read_before(run, name, ref))
        policy = run.intent.on_duplicate
        if before.duplicate is not None and policy is not OnDuplicate.ALLOW:
            existing = MethodAddress(name, ref, before.duplicate)
            if policy is OnDuplicate.REJECT:
                raise WriteRefused(_duplicate(existing, run.intent.path))
            return existing, True
        new, vault = run.new, run.vault(name)

        async def send(call: Call) -> MethodFacts:
            assert new is not None
            added = await vault.add(ref, new, _from_note(before), run.intent.make_default, call)
            if added.method_ref in before.refs:
                raise OutcomeUnknown(name, "The vault returned a method that existed before.")
            run.next_action = added.next_action
            return MethodFacts(method_ref=added.method_ref)

        async def look(call: Call) -> ReconcileResult[MethodFacts]:
            return await self._look(run, name, ref, before, call)

        facts = await run.run_step("add", MethodFacts, (name, ref), send if new is not None else None, look)
        return MethodAddress(name, ref, facts.method_ref), False

    async def _read_before(self, run: WriteRun[AddMethodIntent], name: ProviderName, ref: CustomerRef) -> BeforeAddNote:
        if run.new is None:
            raise NothingSent
        vault = run.vault(name)
        before = await vault.before_add(ref, run.new, run.call)
        if before.duplicate_of is None and run.intent.on_duplicate is not OnDuplicate.ALLOW:
            before = replace(before, duplicate_of=await self._added_with_token(run, vault, ref, before.method_refs))
        if run.intent.on_duplicate is OnDuplicate.REJECT and before.duplicate_of is None:
            await self._refuse_lookalikes(run, vault, ref)
        return BeforeAddNote(
            refs=tuple(sorted(before.method_refs)), duplicate=before.duplicate_of, default=before.default_ref
        )

    def _token(self, vault: VaultProvider, new: NewMethod, key: bytes | str) -> str | None:
        """A digest of the token, if the vault's lists do not show it."""
        if vault.capabilities.token_life_s is None or new.route is not AddRoute.PROVIDER_TOKEN:
            return None
        return token_digest(key, new.secret)

    async def _added_with_token(
        self, run: WriteRun[AddMethodIntent], vault: VaultProvider, ref: CustomerRef, held: Collection[MethodRef]
    ) -> MethodRef | None:
        """The method that the same token created under another key, within the token's life. Raises Refused while that
        add is undecided."""
        assert run.new is not None
        tokens = {self._token(vault, run.new, key) for key in self.deps.digest_keys} - {None}
        if not tokens:
            return None
        since = self.deps.utc_now() - timedelta(seconds=vault.capabilities.token_life_s or 0)
        for other in await self.deps.store.journal.of_customer(run.customer_id):
            is_same = other.provider is vault.name and token_of(other) in tokens
            if not is_same or other.id == run.operation.id or other.created_at < since:
                continue
            if other.state in (OperationState.PENDING, OperationState.UNKNOWN):
                raise WriteRefused(in_progress(), is_final=False)
            made = to_address(other.result.get("method"))
            if made is not None and made.customer_ref == ref and made.method_ref in held:
                return made.method_ref
        return None

    async def _refuse_lookalikes(self, run: WriteRun[AddMethodIntent], vault: VaultProvider, ref: CustomerRef) -> None:
        """REJECT treats look-alikes in the same vault as duplicates, as far as the input describes the method."""
        look = structs.replace(run.intent.look, holder=None)
        if not look.last4:
            return
        wallet = await fresh_wallet(vault, ref, run.call)
        shown = [one for one in wallet.methods if one.status.value not in ("INACTIVE", "DELETED")]
        alike = [
            one for one in shown if one.method_ref in candidates((), [one], look, (), ()) and look_of(one) is not None
        ]
        if alike:
            raise WriteRefused(_duplicate(MethodAddress(vault.name, ref, alike[0].method_ref), run.intent.path))

    async def _look(
        self,
        run: WriteRun[AddMethodIntent],
        name: ProviderName,
        ref: CustomerRef,
        before: BeforeAddNote,
        call: Call,
    ) -> ReconcileResult[MethodFacts]:
        wallet = await run.wallet(name, ref, call)
        claimed = await claimed_refs(run, name, ref)
        found = candidates(before.refs, wallet.methods, run.intent.look, claimed, self.deps.digest_keys)
        if len(found) > 1 and run.new is not None:
            after = await run.vault(name).before_add(ref, run.new, call)
            found = [one for one in found if one == after.duplicate_of] or found
        if wallet.skipped or wallet.truncated:
            found += await self._unreadable(run, name, ref, wallet, before, call)
        if len(found) == 1:
            return Applied(MethodFacts(method_ref=found[0]))
        return Ambiguous(tuple(found)) if found else NotFound()

    async def _unreadable(
        self,
        run: WriteRun[AddMethodIntent],
        name: ProviderName,
        ref: CustomerRef,
        wallet: VaultWallet,
        before: BeforeAddNote,
        call: Call,
    ) -> list[MethodRef]:
        """New records that cannot be parsed: each may be the added one. `before_add` lists their ids."""
        any_card = NewCard(provider=name, route=AddRoute.PROVIDER_TOKEN, secret=Secret(""))
        after = await run.vault(name).before_add(ref, run.new or any_card, call)
        readable = {method.method_ref for method in wallet.methods}
        return sorted(after.method_refs - readable - set(before.refs))

    # ---- after the add ----

    async def _follow_up(
        self, run: WriteRun[AddMethodIntent], address: MethodAddress, was_duplicate: bool
    ) -> CompletedWrite:
        entry = await run.entry()
        problems, warnings, applies = await self._default(run, address)
        if entry is not None and not was_duplicate:
            is_chosen = bool(applies) or (entry.choice is not None and not entry.choice.is_kept)
            # Wait longer for slow vaults if the default may change; less if only look-alikes are wanted.
            wallet = await read_wallet(self.deps, entry, with_short_deadline(run.call) if is_chosen else run.call)
            if not run.is_resumed:
                warnings = (*warnings, *duplicate_warnings(alike_in(wallet, address)))
            if not is_chosen and (kept := self._replaced_default(run, wallet, address)):
                applies = (keeps(run, kept),)
        applies = (*applies, *keeps_names(run, address, run.intent.nickname, run.intent.holder_name))
        return CompletedWrite(
            result=WriteResult(
                customer_id=run.customer_id,
                method=address,
                was_duplicate=was_duplicate,
                problems=problems,
                warnings=warnings,
            ),
            state=OperationState.PARTIAL if problems else OperationState.SUCCEEDED,
            outcome=WriteOutcome.APPLIED,
            rows=applied_row(address),
            apply=applies,
            events=() if was_duplicate else (method_event(EventType.METHOD_ADDED, address),),
        )

    async def _default(
        self, run: WriteRun[AddMethodIntent], address: MethodAddress
    ) -> tuple[tuple[WriteProblem, ...], tuple[WriteProblem, ...], tuple[Apply, ...]]:
        """Make it the default if requested. The method exists by now: a failure is reported and undoes nothing.

        The result is final, because the same key must not add again: the caller continues with
        `setDefaultPaymentMethod`.
        """
        if not run.intent.make_default:
            return (), (), ()
        try:
            is_mirrored = await self._mirror(run, address)
        except WriteRefused as refused:
            return tuple(_at_default(one) for one in refused.problems), (), ()
        except NotApplied as absent:
            return (_at_default(proven_absent(absent.provider, absent.error)),), (), ()
        except VaultError as error:
            return tuple(_at_default(one) for one in problems_of(error)), (), ()
        warnings = () if is_mirrored else (NOT_MIRRORED,)
        return (), warnings, (choose(run, address),)

    async def _mirror(self, run: WriteRun[AddMethodIntent], address: MethodAddress) -> bool:
        """True if the vault now has it as default. Some vaults accept that with the add, so it is read first."""
        (reading,) = await self.deps.reader.read_many(
            address.provider, [address.customer_ref], run.call, force_fresh=True
        )
        held = find(reading.wallet, address) if reading.wallet else None
        if held is not None and (unfit := unfit_as_default(self.deps, held, "make_default")):
            raise WriteRefused(unfit)
        if not mirrors(run, address):
            return False
        if held is None or not held.is_provider_default:
            await set_vault_default(run, address)
        return True

    def _replaced_default(
        self, run: WriteRun[AddMethodIntent], wallet: Wallet, added: MethodAddress
    ) -> MethodAddress | None:
        before = run.progress.notes.get("before")
        ref = before.default if isinstance(before, BeforeAddNote) else None
        vault_default = MethodAddress(added.provider, added.customer_ref, ref) if ref else None
        return default_taken_away(wallet, lambda one: one == added, self.deps.rules, vault_default)


def holder_to_keep(vault: VaultProvider, new: NewMethod) -> str | None:
    """The holder's name, if the vault takes it and never shows it."""
    return name_of_holder(new) if vault.capabilities.hides_holder_names else None


def keeps_names(
    run: WriteRun[Intent], address: MethodAddress, nickname: str | None, holder_name: str | None
) -> Iterator[Apply]:
    """Store what the gateway keeps of a method beside its vault."""
    if nickname:
        yield lambda tx: set_method_nickname(tx, run.customer_id, address, nickname)
    if holder_name:
        yield lambda tx: set_holder_name(tx, run.customer_id, address, holder_name)


async def claimed_refs(run: WriteRun[Intent], name: ProviderName, ref: CustomerRef) -> set[str]:
    """Methods created by other operations of this customer: not candidates for this one."""
    others = await run.deps.store.journal.of_customer(run.customer_id)
    return {
        method_ref
        for other in others
        if other.id != run.operation.id and "method" in other.result
        for provider, customer_ref, method_ref in [other.result["method"]]
        if (provider, customer_ref) == (name.value, ref) and not other.result.get("was_duplicate")
    }


def _faults(vault: VaultProvider, new: NewMethod) -> list[FieldFault]:
    own = vault.faults_of_add(new)
    return [*own, *faults_of_labels(new.address_labels, vault.capabilities), *faults_of_status(new, vault.capabilities)]


def _misplaced_reference(command: AddMethod, vault: VaultProvider, is_created: bool) -> tuple[WriteProblem, ...]:
    if command.card_on_file_reference is None:
        return ()
    path = "card_on_file_reference"
    if not vault.capabilities.keeps_profiles:
        return (unsupported(vault.name, "This vault keeps no such reference.", path),)
    if not is_created:
        return (invalid("It can be set only when the customer is created in the vault, with `provision`.", path),)
    return ()


def _unfit_as_default(command: AddMethod) -> tuple[WriteProblem, ...]:
    if not command.make_default or command.method.active is not False:
        return ()
    return (invalid("An inactive method cannot be the default.", "make_default"),)


def _with_title(command: AddMethod, vault: VaultProvider) -> NewMethod:
    """A vault with titles gets the nickname as title, unless a title was given."""
    if vault.capabilities.titles_methods and command.method.title is None and (command.nickname or "").strip():
        return replace(command.method, title=command.nickname)
    return command.method


def _from_note(before: BeforeAddNote) -> BeforeAdd:
    return BeforeAdd(method_refs=frozenset(before.refs), duplicate_of=before.duplicate, default_ref=before.default)


def _at_default(problem: WriteProblem) -> WriteProblem:
    return replace(problem, path=("make_default",), retryable=False)


def _not_linked(name: ProviderName) -> WriteProblem:
    return WriteProblem(
        ProblemCode.NOT_LINKED,
        "The customer is not linked to this vault: link it, or add with `provision`.",
        ("customer_id",),
        provider=name,
    )


def _raw_card_disabled(path: tuple[str, ...]) -> WriteProblem:
    return WriteProblem(ProblemCode.RAW_CARD_DISABLED, "Card numbers are not accepted here.", path)


def _duplicate(existing: MethodAddress, path: tuple[str, ...]) -> WriteProblem:
    return WriteProblem(ProblemCode.DUPLICATE, "The customer already has this payment method.", path, existing=existing)


def method_digest(method: NewMethod) -> Mapping[str, Any]:
    """A new method as digest input: tokens as an HMAC, numbers excluded.

    A network token counts as a number: it replaces a card number, and a number could be sent in its field.
    """
    mark = Token if method.route in (AddRoute.PROVIDER_TOKEN, AddRoute.WALLET_PAYLOAD) else Number
    return {**named_values(method), "secret": mark(method.secret)}
