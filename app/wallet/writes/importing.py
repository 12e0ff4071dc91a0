"""Imports existing vault customers, and cards and bank accounts by their processor's tokens: row by row, in order.

A row first links, then stores its card. Each card is a journalled step, so that an interrupted import continues with
the same key: stored cards are known, uncertain ones are looked up, nothing is sent twice.

The same key runs again only the rows that failed for a temporary reason: see `is_settled`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from app.errors import OutcomeUnknown, RejectReason, VaultError, VaultRejected
from app.store import Connection, Transaction
from app.store.directory import create_customer, link_customer
from app.store.errors import ExternalIdTaken, LinkConflict, UnstorableText
from app.store.events import append_event
from app.store.records import (
    DirectoryEntry,
    EventOrigin,
    EventType,
    LinkConflictReason,
    MethodAddress,
    NewEvent,
    OperationRecord,
    OperationState,
    ResultRow,
    WriteOutcome,
)
from app.store.text import is_storable
from app.vault.enums import AddRoute, CustomerRef, LinkProof, MethodRef, ProviderName
from app.vault.model import NewBankAccount, NewCard, NewMethod
from app.vault.payments import ImportedBankAccount, ImportedCard, ImportedMethod, ImportingVault, ImportState
from app.vault.provider import Call, VaultProvider
from app.wallet.commands import Actor, ImportMethods, ImportRow
from app.wallet.defaults.kept_default import By, DefaultKeeper
from app.wallet.digest import Token
from app.wallet.problems import ProblemCode, invalid, not_found, required, unsupported
from app.wallet.writes.deps import VaultRef
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, row_of
from app.wallet.writes.intents import HeldMethods, ImportedRow, ImportMethodsIntent, MethodFacts
from app.wallet.writes.interrupts import NothingSent, WriteRefused
from app.wallet.writes.match_new_method import candidates, describe_new_method
from app.wallet.writes.provision import link_conflict
from app.wallet.writes.refusals import problems_of_faults
from app.wallet.writes.run import Ambiguous, Applied, NotFound, ReconcileResult, WriteRun
from app.wallet.writes.vault_results import VaultResult, rows_summary, run_at_vault
from app.wallet.writes.wallets import with_short_deadline

MOST_ROWS: Final = 500
_CONCURRENCY: Final = 8
_LONGEST_REF: Final = 255
_LONGEST_KEY: Final = 255


def is_settled(row: ResultRow) -> bool:
    """True if the row's result is final. An unavailable vault may recover, and credentials can be corrected."""
    if row.state is not OperationState.FAILED or row.error is None:
        return row.state is OperationState.SUCCEEDED
    return not row.error.get("retryable") and row.error.get("code") != ProblemCode.PROVIDER_AUTH


@dataclass(slots=True)
class _Memory:
    """The rows with their tokens, the actor, the links made in this run, and the customers that the vaults know."""

    command: ImportMethods | None = None
    actor: Actor | None = None
    linked: set[VaultRef] = field(default_factory=set)
    exists: dict[VaultRef, bool] = field(default_factory=dict)


class ImportMethodsHandler(WriteHandler[ImportMethods, ImportMethodsIntent]):
    command = ImportMethods
    mutation = "importPaymentMethods"

    def digest(self, command: ImportMethods) -> Mapping[str, Any]:
        rows = []
        for row in command.rows:
            asked = asdict(replace(row, processor_token=None))
            del asked["token_field"]
            # Later fields take part only if given: the same rows have the same digest as in the versions before.
            if row.account is None:
                del asked["account"]
            if row.card is not None and row.card.bin is None:
                del asked["card"]["bin"]
            rows.append({**asked, "processor_token": Token(row.processor_token) if row.processor_token else None})
        return {"rows": rows, "dry_run": command.dry_run, "create_customers": command.create_customers}

    def prepare(
        self, tx: Connection, command: ImportMethods, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[ImportMethodsIntent]:
        if actor.is_end_user:
            raise WriteRefused(not_found("End users cannot import.", "rows"))
        if not 1 <= len(command.rows) <= MOST_ROWS:
            raise WriteRefused(invalid(f"An import has 1 to {MOST_ROWS} rows.", "rows"))
        command = replace(command, rows=tuple(self._canonical(row) for row in command.rows))
        linked = {(row.provider, row.customer_ref) for row in command.rows if row.processor_token is not None}
        return PreparedWrite(
            intent=ImportMethodsIntent(
                refs=() if command.dry_run else tuple(sorted(linked)),
                rows=tuple(self._stored_row(row) for row in command.rows),
                dry_run=command.dry_run,
                create_customers=command.create_customers,
            ),
            customer_id=None,
            provider=None,
            rows=tuple(
                row_of(number, row.provider, OperationState.PENDING, WriteOutcome.UNKNOWN)
                for number, row in enumerate(command.rows)
            ),
            memory=_Memory(command, actor),
        )

    async def _settled_rows(self, operation: OperationRecord) -> dict[int, OperationState]:
        """The rows that an earlier run settled, by number."""
        page = await self.deps.store.journal.results(operation.id, first=MOST_ROWS)
        return {row.row: row.state for row in page.rows if is_settled(row)}

    def _canonical(self, row: ImportRow) -> ImportRow:
        """With the vault's customer ref in canonical form."""
        vault = self.deps.providers.get(row.provider)
        return row if vault is None else replace(row, customer_ref=vault.canonical_ref(row.customer_ref))

    def _stored_row(self, row: ImportRow) -> ImportedRow:
        """What the journal stores of a row: no token, no name; the holder as a digest."""
        look = None
        if row.processor_token is not None and (row.card is not None or row.account is not None):
            look = describe_new_method(_as_new(row), self.deps.digest_keys.first)
        return ImportedRow(provider=row.provider, ref=row.customer_ref, card=look)

    async def execute(self, run: WriteRun[ImportMethodsIntent]) -> CompletedWrite:
        """First the links, sequentially in row order; then the cards, concurrently."""
        memory = run.memory(_Memory)
        command, actor = memory.command, memory.actor
        rows: list[ImportRow | None] = list(command.rows) if command else [None] * len(run.intent.rows)
        settled = await self._settled_rows(run.operation)
        open_rows = [number for number in range(len(rows)) if number not in settled]
        slots = asyncio.Semaphore(_CONCURRENCY)
        if command is not None:
            await self._prefetch_customers(run, [command.rows[number] for number in open_rows], slots)
        linked = {number: await self._link_row(run, number, rows[number], actor) for number in open_rows}
        place_locks = {row.place: asyncio.Lock() for row in run.intent.rows}

        async def store(number: int) -> VaultResult:
            if linked[number].state is not OperationState.SUCCEEDED or not self._has_card(run, number):
                return linked[number]
            async with slots, place_locks[run.intent.rows[number].place]:
                return await self._store_row(run, number, rows[number])

        ended_now = await asyncio.gather(*(store(number) for number in open_rows))
        found = dict(zip(open_rows, ended_now, strict=True))
        if not run.intent.dry_run:
            stored = [
                MethodAddress(*run.intent.rows[number].place, ending.method_ref)
                for number, ending in found.items()
                if ending.method_ref is not None
            ]
            await self._keep_defaults(run, frozenset(stored), slots)
        return rows_summary(found, settled.values(), dry_run=run.intent.dry_run)

    async def _keep_defaults(
        self, run: WriteRun[ImportMethodsIntent], stored: frozenset[MethodAddress], slots: asyncio.Semaphore
    ) -> None:
        """Stored cards and new links do not change the default of a customer that had one."""
        directory = self.deps.store.directory
        linked = run.memory(_Memory).linked
        by_vault: dict[ProviderName, set[CustomerRef]] = {}
        for provider, ref in {*linked, *((one.provider, one.customer_ref) for one in stored)}:
            by_vault.setdefault(provider, set()).add(ref)
        owners = [
            owner for name, refs in by_vault.items() for owner in (await directory.owners_of(name, refs)).values()
        ]
        entries = (await directory.entries(dict.fromkeys(owners))).values()
        keeper = DefaultKeeper(self.deps.store, self.deps.reader, self.deps.rules, self.deps.utc_now)
        origin = EventOrigin.RECONCILIATION if run.is_resumed else EventOrigin.GATEWAY
        by = By(actor=run.progress.by, origin=origin, request_id=run.operation.request_id)

        def is_new(one: MethodAddress) -> bool:
            return one in stored or (one.provider, one.customer_ref) in linked

        async def keep(entry: DirectoryEntry) -> None:
            if any((link.provider, link.customer_ref) not in linked for link in entry.links):
                async with slots:
                    await keeper.keep(entry.customer.id, is_new, by, with_short_deadline(run.call))

        await asyncio.gather(*(keep(entry) for entry in entries))

    def _has_card(self, run: WriteRun[ImportMethodsIntent], number: int) -> bool:
        return run.intent.rows[number].card is not None and not run.intent.dry_run

    async def _link_row(
        self, run: WriteRun[ImportMethodsIntent], number: int, row: ImportRow | None, actor: Actor | None
    ) -> VaultResult:
        provider, ref = run.intent.rows[number].place

        async def work() -> CustomerRef:
            if row is not None and actor is not None:
                await self._link(run, row, actor)
            elif not self._has_card(run, number):
                raise NothingSent
            return ref

        return await run_at_vault(provider, work, "rows", str(number))

    async def _store_row(self, run: WriteRun[ImportMethodsIntent], number: int, row: ImportRow | None) -> VaultResult:
        provider, ref = run.intent.rows[number].place
        stored: list[MethodRef] = []

        async def work() -> CustomerRef:
            stored.append(await self._store(run, number, row))
            return ref

        ending = await run_at_vault(provider, work, "rows", str(number))
        return replace(ending, method_ref=stored[0] if stored else None)

    # ---- the link -----------------------------------------------------------------------------------------

    async def _link(self, run: WriteRun[ImportMethodsIntent], row: ImportRow, actor: Actor) -> None:
        """Checks, cheapest first, then the link. An existing link counts as success."""
        ref = row.customer_ref
        self._refuse_card(row)
        if not ref or len(ref.encode("utf-8", "surrogatepass")) > _LONGEST_REF or not is_storable(ref):
            raise WriteRefused(invalid("This is not a valid customer key of a vault.", "customer_ref"))
        external_id = row.external_id
        if not external_id.strip() or len(external_id) > _LONGEST_KEY or not is_storable(external_id):
            raise WriteRefused(invalid("An external id has 1 to 255 storable characters.", "external_id"))
        vault = self.vault_of(row.provider, "provider")
        directory = self.deps.store.directory
        customer = await directory.customer_by_external_id(row.external_id)
        if customer is not None and not actor.may_see(customer.id):
            customer = None
        elif customer is None and not (run.intent.create_customers and actor.caller.granted is None):
            raise WriteRefused(not_found("There is no customer with this external id.", "external_id"))
        owner = (await directory.owners_of(row.provider, [ref])).get(ref)
        if owner is not None:
            if customer is None or owner != customer.id:
                raise WriteRefused(link_conflict(row.provider, LinkConflictReason.REF_TAKEN, "customer_ref"))
            return
        if not await self._exists(run, vault, ref):
            raise WriteRefused(not_found("The vault does not know this customer.", "customer_ref"))
        if run.intent.dry_run:
            return
        await self.deps.store.transaction(self._write_link, run, row, customer.id if customer else None)
        run.memory(_Memory).linked.add((row.provider, ref))

    async def _prefetch_customers(
        self, run: WriteRun[ImportMethodsIntent], rows: Sequence[ImportRow], slots: asyncio.Semaphore
    ) -> None:
        """Ask the vaults for all customers in advance, in as few calls as possible, some concurrently.

        A failing vault is asked again for each row, so that each row reports the failure.
        """
        by_vault: dict[ProviderName, list[CustomerRef]] = {}
        for row in rows:
            if is_storable(row.customer_ref) and row.customer_ref:
                by_vault.setdefault(row.provider, []).append(row.customer_ref)

        async def ask(vault: VaultProvider, refs: Sequence[CustomerRef]) -> None:
            async with slots:
                with suppress(VaultError):
                    for ref, found in (await vault.wallets(refs, run.call)).items():
                        if not isinstance(found, VaultError):
                            run.memory(_Memory).exists[vault.name, ref] = True

        work = []
        for name, refs in by_vault.items():
            vault = self.deps.providers.get(name)
            if vault is not None and vault.capabilities.batch_limit > 1:
                size = vault.capabilities.batch_limit
                unique = list(dict.fromkeys(refs))
                work += [ask(vault, unique[start : start + size]) for start in range(0, len(unique), size)]
            elif vault is not None:
                work += [self._prefetch_customer(run, vault, ref, slots) for ref in dict.fromkeys(refs)]
        await asyncio.gather(*work)

    async def _prefetch_customer(
        self, run: WriteRun[ImportMethodsIntent], vault: VaultProvider, ref: CustomerRef, slots: asyncio.Semaphore
    ) -> None:
        async with slots:
            with suppress(VaultError):
                exists = run.memory(_Memory).exists
                exists[vault.name, ref] = await vault.customer_exists(ref, run.call)

    async def _exists(self, run: WriteRun[ImportMethodsIntent], vault: VaultProvider, ref: CustomerRef) -> bool:
        known = run.memory(_Memory).exists.get((vault.name, ref))
        return await vault.customer_exists(ref, run.call) if known is None else known

    def _write_link(
        self, tx: Transaction, run: WriteRun[ImportMethodsIntent], row: ImportRow, customer_id: str | None
    ) -> None:
        try:
            if customer_id is None:
                made = create_customer(tx, external_id=row.external_id)
                customer_id = made.id
            link_customer(
                tx,
                customer_id,
                row.provider,
                row.customer_ref,
                proof=LinkProof.TRUSTED_BACKEND,
                linked_by=run.progress.by,
            )
        except (LinkConflict, ExternalIdTaken) as conflict:
            reason = conflict.reason if isinstance(conflict, LinkConflict) else LinkConflictReason.REF_TAKEN
            raise WriteRefused(link_conflict(row.provider, reason, "customer_ref")) from None
        except UnstorableText:
            raise WriteRefused(invalid("The row has characters that cannot be stored.")) from None
        event = NewEvent(
            type=EventType.LINK_CHANGED,
            customer_id=customer_id,
            provider=row.provider,
            customer_ref=row.customer_ref,
            actor=run.progress.by,
            request_id=run.operation.request_id,
            detail={"linked": True, "imported": True},
        )
        append_event(tx, event)

    # ---- the card -----------------------------------------------------------------------------------------

    def _refuse_card(self, row: ImportRow) -> None:
        if row.processor_token is None and row.card is None and row.account is None:
            return
        vault = self.vault_of(row.provider, "provider")
        if not isinstance(vault, ImportingVault):
            raise WriteRefused(unsupported(row.provider, "This vault does not import cards.", row.token_field))
        if row.account is not None and not vault.capabilities.imports_bank_accounts:
            raise WriteRefused(unsupported(row.provider, "This vault imports cards only.", "bank_account"))
        if row.account is not None and row.card is not None:
            raise WriteRefused(invalid("A token is a card's or a bank account's.", "bank_account"))
        if row.processor_token is None:
            raise WriteRefused(required("The method's token is missing.", row.token_field))
        if row.card is None and row.account is None:
            raise WriteRefused(required("The card's data is missing.", "card"))
        faults = vault.faults_of_import(_as_imported(row))
        if faults:
            raise WriteRefused(*problems_of_faults(faults))

    async def _store(self, run: WriteRun[ImportMethodsIntent], number: int, row: ImportRow | None) -> MethodRef:
        name, ref = run.intent.rows[number].place
        vault = run.vault(name)
        before = await run.read_once(f"before:{number}", HeldMethods, lambda: self._held(run, name, ref))

        async def send(call: Call) -> MethodFacts:
            assert isinstance(vault, ImportingVault)
            assert row is not None
            (result,) = await vault.import_methods([_as_imported(row)], call)
            if result.state is ImportState.REJECTED:
                reason = result.reason or RejectReason.INVALID_INPUT
                raise VaultRejected(name, reason, provider_code=result.provider_code)
            if result.method_ref is None:
                raise OutcomeUnknown(name, "The vault returned neither a method nor a reason.")
            return MethodFacts(method_ref=result.method_ref)

        async def look(call: Call) -> ReconcileResult[MethodFacts]:
            wallet = await run.wallet(name, ref, call)
            claimed = [facts.method_ref for facts in run.progress.done.values() if isinstance(facts, MethodFacts)]
            card = run.intent.rows[number].card
            assert card is not None
            found = candidates(before.refs, wallet.methods, card, claimed, self.deps.digest_keys)
            if len(found) > 1:
                return Ambiguous(tuple(found))
            return Applied(MethodFacts(method_ref=found[0])) if found else NotFound()

        facts = await run.run_step(
            f"import:{number}", MethodFacts, (name, ref), send if row is not None else None, look
        )
        return facts.method_ref

    async def _held(self, run: WriteRun[ImportMethodsIntent], name: ProviderName, ref: CustomerRef) -> HeldMethods:
        return HeldMethods(refs=tuple(one.method_ref for one in (await run.wallet(name, ref)).methods))


def _as_imported(row: ImportRow) -> ImportedMethod:
    assert row.processor_token is not None
    shared: dict[str, Any] = {"customer_ref": row.customer_ref, "secret": row.processor_token}
    if row.account is not None:
        return ImportedBankAccount(**shared, **asdict(row.account))
    assert row.card is not None
    look = row.card
    return ImportedCard(
        **shared, last4=look.last4, expiry=look.expiry, brand=look.brand, holder_name=look.holder_name, bin=look.bin
    )


def _as_new(row: ImportRow) -> NewMethod:
    assert row.processor_token is not None
    shared: dict[str, Any] = {
        "provider": row.provider,
        "route": AddRoute.PROVIDER_TOKEN,
        "secret": row.processor_token,
    }
    if row.account is not None:
        return NewBankAccount(**shared, last4=row.account.last4, holder_name=row.account.holder_name)
    assert row.card is not None
    look = row.card
    return NewCard(**shared, brand=look.brand, expiry=look.expiry, last4=look.last4, holder_name=look.holder_name)
