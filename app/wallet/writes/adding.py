"""What adding one method and adding several have in common: checks, the duplicate check, one add, the default."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from msgspec import structs

from app.errors import FieldFault, OutcomeUnknown, VaultError
from app.store.consents import set_consent
from app.store.directory import set_holder_name, set_method_nickname
from app.store.records import Consent, MethodAddress, OperationState
from app.vault.added_later import named_values
from app.vault.enums import AddRoute, CustomerRef, MethodRef, ProviderName
from app.vault.model import BeforeAdd, NewCard, NewMethod, NextAction, VaultWallet, holder_of
from app.vault.provider import Call, VaultProvider
from app.vault.rules.keepable import faults_of_labels, faults_of_status
from app.vault.rules.lookalikes import look_of
from app.vault.secret import Secret
from app.wallet.commands import AddMethod, OnDuplicate
from app.wallet.defaults.kept_default import default_taken_away
from app.wallet.digest import Number, Token, token_digest
from app.wallet.problems import ProblemCode, WriteProblem, invalid
from app.wallet.reads.build_wallet import Wallet
from app.wallet.writes import provision
from app.wallet.writes.defaults import NOT_MIRRORED, choose, mirrors, set_vault_default
from app.wallet.writes.deps import find, fresh_wallet
from app.wallet.writes.handler import Apply, WriteHandler, nickname_problems
from app.wallet.writes.intents import AddMethodIntent, BeforeAddNote, Intent, MethodFacts, added_by
from app.wallet.writes.interrupts import NotApplied, NothingSent, WriteRefused
from app.wallet.writes.match_new_method import candidates, describe_new_method
from app.wallet.writes.refusals import in_progress, problems_of, problems_of_faults, proven_absent
from app.wallet.writes.run import Ambiguous, Applied, NotFound, ReconcileResult, WriteRun
from app.wallet.writes.wallets import unfit_as_default

C = TypeVar("C")
IntentT = TypeVar("IntentT", bound=Intent)
Run = WriteRun[Any]
_CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far a caller's clock may be ahead."""


@dataclass(frozen=True, slots=True)
class MethodToAdd:
    """One method of a write: what the journal has of it, and the method itself; None in a resumed run.

    `note` and `step` are its names in the journal.
    """

    intent: AddMethodIntent
    new: NewMethod | None
    note: str = "before"
    step: str = "add"


@dataclass(frozen=True, slots=True)
class OneAdded:
    """`was_duplicate`: the vault already had it."""

    address: MethodAddress
    was_duplicate: bool
    next_action: NextAction | None = None


class AddingHandler(WriteHandler[C, IntentT], Generic[C, IntentT]):
    changes_methods = True

    # ---- checks without a vault call ----

    def intent_of(self, command: AddMethod, vault: VaultProvider, ref: CustomerRef) -> AddMethodIntent:
        key = self.deps.digest_keys.first
        return AddMethodIntent(
            refs=((vault.name, ref),),
            provider=vault.name,
            path=command.method_path,
            secret=command.secret_field,
            nickname=command.nickname,
            make_default=command.make_default,
            on_duplicate=command.on_duplicate,
            look=describe_new_method(command.method, key),
            token=token_of_new(vault, command.method, key),
            holder_name=holder_of(command.method) if vault.capabilities.hides_holder_names else None,
            consent=command.consent,
            replaces_others=isinstance(command.method, NewCard) and bool(command.method.replace_existing),
        )

    def problems_of_add(
        self, command: AddMethod, vault: VaultProvider, new: NewMethod, intent: AddMethodIntent
    ) -> tuple[WriteProblem, ...]:
        return (
            *nickname_problems(command.nickname),
            *self._consent_problems(command.consent),
            *problems_of_faults(_faults(vault, new), lambda fault: path_in(intent, fault)),
            *_unfit_as_default(command),
        )

    def _consent_problems(self, consent: Consent | None) -> tuple[WriteProblem, ...]:
        if consent is None or consent.agreed_at <= self.deps.utc_now() + _CLOCK_SKEW:
            return ()
        return (invalid("This is in the future.", "consent", "agreed_at"),)

    # ---- one add ----

    async def add_one(self, run: Run, one: MethodToAdd, ref: CustomerRef) -> OneAdded:
        name = one.intent.provider
        before = await run.read_once(one.note, BeforeAddNote, lambda: self._read_before(run, one, ref))
        existing = existing_of(one.intent, before, ref)
        if existing is not None:
            return OneAdded(existing, was_duplicate=True)
        new, vault = one.new, run.vault(name)
        actions: list[NextAction | None] = []

        async def send(call: Call) -> MethodFacts:
            assert new is not None
            added = await vault.add(ref, new, _from_note(before), one.intent.make_default, call)
            if added.method_ref in before.refs:
                raise OutcomeUnknown(name, "The vault returned a method that existed before.")
            actions.append(added.next_action)
            return MethodFacts(method_ref=added.method_ref)

        async def look(call: Call) -> ReconcileResult[MethodFacts]:
            return await self._look(run, one, ref, before, call)

        facts = await run.run_step(one.step, MethodFacts, (name, ref), send if new is not None else None, look)
        return OneAdded(MethodAddress(name, ref, facts.method_ref), False, next(iter(actions), None))

    async def _read_before(self, run: Run, one: MethodToAdd, ref: CustomerRef) -> BeforeAddNote:
        if one.new is None:
            raise NothingSent
        before = await run.vault(one.intent.provider).before_add(ref, one.new, run.call)
        return await self.checked_before(run, one, ref, before)

    async def checked_before(self, run: Run, one: MethodToAdd, ref: CustomerRef, before: BeforeAdd) -> BeforeAddNote:
        """The vault's state before the add, with the duplicate that other writes know of. Raises WriteRefused."""
        policy, vault = one.intent.on_duplicate, run.vault(one.intent.provider)
        if before.duplicate_of is None and policy is not OnDuplicate.ALLOW:
            made = await self._added_with_token(run, vault, one, ref, before.method_refs)
            before = replace(before, duplicate_of=made)
        if policy is OnDuplicate.REJECT and before.duplicate_of is None:
            await self._refuse_lookalikes(run, vault, one, ref)
        return BeforeAddNote(
            refs=tuple(sorted(before.method_refs)), duplicate=before.duplicate_of, default=before.default_ref
        )

    async def _added_with_token(
        self, run: Run, vault: VaultProvider, one: MethodToAdd, ref: CustomerRef, held: Collection[MethodRef]
    ) -> MethodRef | None:
        """The method that the same token created under another key, within the token's life. Raises Refused while that
        add is undecided."""
        assert one.new is not None
        tokens = {token_of_new(vault, one.new, key) for key in self.deps.digest_keys} - {None}
        if not tokens:
            return None
        since = self.deps.utc_now() - timedelta(seconds=vault.capabilities.token_life_s or 0)
        for other in await self.deps.store.journal.at_vault(
            run.customer_id, vault.name, since, besides=run.operation.id
        ):
            for added in added_by(other):
                if added.token not in tokens:
                    continue
                if other.state in (OperationState.PENDING, OperationState.UNKNOWN):
                    raise WriteRefused(in_progress(), is_final=False)
                made = added.method
                if made is not None and made.customer_ref == ref and made.method_ref in held:
                    return made.method_ref
        return None

    async def _refuse_lookalikes(self, run: Run, vault: VaultProvider, one: MethodToAdd, ref: CustomerRef) -> None:
        """REJECT treats look-alikes in the same vault as duplicates, as far as the input describes the method."""
        look = structs.replace(one.intent.look, holder=None)
        if not look.last4:
            return
        wallet = await fresh_wallet(vault, ref, run.call)
        shown = [one for one in wallet.methods if one.status.value not in ("INACTIVE", "DELETED")]
        alike = [
            one for one in shown if one.method_ref in candidates((), [one], look, (), ()) and look_of(one) is not None
        ]
        if alike:
            raise WriteRefused(_duplicate(MethodAddress(vault.name, ref, alike[0].method_ref), one.intent.path))

    async def _look(
        self, run: Run, one: MethodToAdd, ref: CustomerRef, before: BeforeAddNote, call: Call
    ) -> ReconcileResult[MethodFacts]:
        name = one.intent.provider
        wallet = await run.wallet(name, ref, call)
        claimed = await claimed_refs(run, name, ref)
        found = candidates(before.refs, wallet.methods, one.intent.look, claimed, self.deps.digest_keys)
        if len(found) > 1 and one.new is not None:
            after = await run.vault(name).before_add(ref, one.new, call)
            found = [one for one in found if one == after.duplicate_of] or found
        if wallet.skipped or wallet.truncated:
            found += await self.unreadable(run, one, ref, wallet, before.refs, call)
        if len(found) == 1:
            return Applied(MethodFacts(method_ref=found[0]))
        return Ambiguous(tuple(found)) if found else NotFound()

    async def unreadable(
        self,
        run: Run,
        one: MethodToAdd,
        ref: CustomerRef,
        wallet: VaultWallet,
        before: Collection[MethodRef],
        call: Call,
    ) -> list[MethodRef]:
        """New records that cannot be parsed: each may be the added one. `before_add` lists their ids."""
        name = one.intent.provider
        any_card = NewCard(provider=name, route=AddRoute.PROVIDER_TOKEN, secret=Secret(""))
        after = await run.vault(name).before_add(ref, one.new or any_card, call)
        readable = {method.method_ref for method in wallet.methods}
        return sorted(after.method_refs - readable - set(before))

    # ---- the default ----

    async def make_default(
        self, run: Run, address: MethodAddress
    ) -> tuple[tuple[WriteProblem, ...], tuple[WriteProblem, ...], tuple[Apply, ...]]:
        """Make an added method the default. The method exists by now: a failure is reported and undoes nothing.

        The result is final, because the same key must not add again: the caller continues with
        `setDefaultPaymentMethod`.
        """
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

    async def _mirror(self, run: Run, address: MethodAddress) -> bool:
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

    def replaced_default(
        self,
        run: Run,
        wallet: Wallet,
        is_new: Callable[[MethodAddress], bool],
        at: tuple[ProviderName, CustomerRef],
        note: str,
    ) -> MethodAddress | None:
        """The default before the add at this vault, if the added methods have replaced it."""
        before = run.progress.notes.get(note)
        ref = before.default if isinstance(before, BeforeAddNote) else None
        vault_default = MethodAddress(*at, ref) if ref else None
        return default_taken_away(wallet, is_new, self.deps.rules, vault_default)


def path_in(intent: AddMethodIntent, fault: FieldFault) -> tuple[str, ...]:
    """The path of a fault in the input of one method."""
    head = fault.path[:1]
    if head and head[0] in provision.CUSTOMER_FIELDS:
        return provision.path_of(fault)
    if head == ("address_labels",):
        return ("billing_address", *fault.path[1:])
    if head in (("status",), ("active",)):
        return ("status",)
    if head in (("billing_address",), ("card_on_file_reference",)):
        return fault.path
    if head == ("title",) and intent.nickname is not None:
        return ("nickname",)
    if head == ("secret",):
        return (*intent.path, intent.secret)
    return (*intent.path, *fault.path)


def existing_of(intent: AddMethodIntent, before: BeforeAddNote, ref: CustomerRef) -> MethodAddress | None:
    """The method to return instead of an add. Raises WriteRefused if duplicates are rejected."""
    if before.duplicate is None or intent.on_duplicate is OnDuplicate.ALLOW:
        return None
    existing = MethodAddress(intent.provider, ref, before.duplicate)
    if intent.on_duplicate is OnDuplicate.REJECT:
        raise WriteRefused(_duplicate(existing, intent.path))
    return existing


def token_of_new(vault: VaultProvider, new: NewMethod, key: bytes | str) -> str | None:
    """A digest of the token, if the vault's lists do not show it."""
    if vault.capabilities.token_life_s is None or new.route is not AddRoute.PROVIDER_TOKEN:
        return None
    return token_digest(key, new.secret)


def keeps_names(run: Run, address: MethodAddress, intent: AddMethodIntent) -> Iterator[Apply]:
    """Store what the gateway keeps of a method beside its vault."""
    nickname, holder_name = intent.nickname, intent.holder_name
    if nickname:
        yield lambda tx: set_method_nickname(tx, run.customer_id, address, nickname)
    if (consent := intent.consent) is not None:
        by = run.progress.by
        yield lambda tx: set_consent(tx, run.customer_id, address, consent, recorded_by=by)
    if holder_name:
        yield lambda tx: set_holder_name(tx, run.customer_id, address, holder_name)


async def claimed_refs(run: Run, name: ProviderName, ref: CustomerRef) -> set[str]:
    """Methods created by other operations of this customer, or by other steps of this one: not candidates."""
    others = await run.deps.store.journal.of_customer(run.customer_id)
    claimed = {
        made.method_ref
        for other in others
        if other.id != run.operation.id
        for _, made, was_duplicate in added_by(other)
        if made is not None and not was_duplicate and (made.provider, made.customer_ref) == (name, ref)
    }
    return claimed | {facts.method_ref for facts in run.progress.done.values() if isinstance(facts, MethodFacts)}


def with_title(command: AddMethod, vault: VaultProvider) -> NewMethod:
    """A vault with titles gets the nickname as title, unless a title was given."""
    if vault.capabilities.titles_methods and command.method.title is None and (command.nickname or "").strip():
        return replace(command.method, title=command.nickname)
    return command.method


def not_linked(name: ProviderName, message: str) -> WriteProblem:
    return WriteProblem(ProblemCode.NOT_LINKED, message, ("customer_id",), provider=name)


def method_digest(method: NewMethod) -> Mapping[str, Any]:
    """A new method as digest input: tokens as an HMAC, numbers excluded.

    A network token counts as a number: it replaces a card number, and a number could be sent in its field.
    """
    mark = Token if method.route in (AddRoute.PROVIDER_TOKEN, AddRoute.WALLET_PAYLOAD) else Number
    return {**named_values(method), "secret": mark(method.secret)}


def _faults(vault: VaultProvider, new: NewMethod) -> list[FieldFault]:
    own = vault.faults_of_add(new)
    return [*own, *faults_of_labels(new.address_labels, vault.capabilities), *faults_of_status(new, vault.capabilities)]


def _unfit_as_default(command: AddMethod) -> tuple[WriteProblem, ...]:
    if not command.make_default or command.method.active is not False:
        return ()
    return (invalid("An inactive method cannot be the default.", "make_default"),)


def _from_note(before: BeforeAddNote) -> BeforeAdd:
    return BeforeAdd(method_refs=frozenset(before.refs), duplicate_of=before.duplicate, default_ref=before.default)


def _at_default(problem: WriteProblem) -> WriteProblem:
    return replace(problem, path=("make_default",), retryable=False)


def _duplicate(existing: MethodAddress, path: tuple[str, ...]) -> WriteProblem:
    return WriteProblem(ProblemCode.DUPLICATE, "The customer already has this payment method.", path, existing=existing)
