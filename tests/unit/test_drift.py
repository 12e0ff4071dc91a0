"""What counts as drift of one customer."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.store import Store
from app.store.records import ChoiceRecord, DirectoryEntry, MethodAddress
from app.vault.enums import CustomerRef, MethodRef, PaymentMethodStatus, ProviderName, SourceState
from app.vault.model import PaymentMethod, VaultWallet
from app.wallet.changes.drift import CheckedLink, FindingCode, address_of, clear_default, findings_of
from tests.support.memory import LONG_AGO, NOW, MemoryDirectory, P, card, choice_of

Links = dict[ProviderName, CheckedLink]
UNREAD = CheckedLink(asked_at=NOW, unread=SourceState.TIMEOUT)
GONE = CheckedLink(asked_at=NOW, is_gone=True)


def entry(choice: ChoiceRecord | None = None) -> DirectoryEntry:
    directory = MemoryDirectory()
    directory.add("cus_a", {P.LOANPRO: "37", P.CASELLE: "cs"}, choice=choice)
    return directory.known["cus_a"]


def read(provider: ProviderName, ref: str, *methods: PaymentMethod) -> CheckedLink:
    customer_ref = CustomerRef(ref)
    own = tuple(replace(one, provider=provider, customer_ref=customer_ref) for one in methods)
    return CheckedLink(asked_at=NOW, wallet=VaultWallet(provider=provider, customer_ref=customer_ref, methods=own))


def codes(found: DirectoryEntry, checked: Links, seen: Any = None) -> list[str]:
    listed = {address_of(one) for link in checked.values() for one in link.methods}
    known = listed if seen is None else seen
    return [one.code.value for one in findings_of(found, checked, known, known)]


def test_methods_that_only_one_side_has() -> None:
    checked = {P.LOANPRO: read(P.LOANPRO, "37", card("9")), P.CASELLE: read(P.CASELLE, "cs")}
    other = MethodAddress(P.CASELLE, CustomerRef("cs"), MethodRef("old"))
    assert codes(entry(), checked) == []
    assert codes(entry(), checked, {other}) == ["METHOD_NOT_SEEN", "METHOD_GONE"]
    mine = MethodAddress(P.LOANPRO, CustomerRef("37"), MethodRef("9"))
    while_reading = findings_of(entry(), checked, {mine, other}, set())
    assert while_reading == [], "observed or forgotten meanwhile"


@pytest.mark.parametrize("link", [UNREAD, GONE])
def test_an_unread_vault_gives_no_finding_and_an_unknown_customer_one(link: CheckedLink) -> None:
    seen = {MethodAddress(P.CASELLE, CustomerRef("cs"), MethodRef("old"))}
    choice = choice_of("cus_a", P.CASELLE, "cs", "old")
    expected = [] if link is UNREAD else ["CUSTOMER_GONE", "DEFAULT_GONE"]
    assert codes(entry(choice), {P.CASELLE: link}, seen) == expected


def test_lookalikes_in_one_vault_and_across() -> None:
    two = (card("9"), card("10"))
    (one,) = findings_of(
        entry(), {P.LOANPRO: (link := read(P.LOANPRO, "37", *two))}, {*map(address_of, link.methods)}, ()
    )
    assert (one.code, one.provider, len(one.methods)) == (FindingCode.DUPLICATE_LOOK, P.LOANPRO, 2)
    checked = {P.LOANPRO: link, P.CASELLE: read(P.CASELLE, "cs", card("uid"))}
    (across,) = findings_of(entry(), checked, {address_of(m) for k in checked.values() for m in k.methods}, ())
    assert (across.provider, len(across.methods)) == (None, 3)
    hidden = read(P.LOANPRO, "37", card("9"), card("10", status=PaymentMethodStatus.INACTIVE))
    assert codes(entry(), {P.LOANPRO: hidden}) == []


def test_stored_defaults() -> None:
    listed = {P.LOANPRO: read(P.LOANPRO, "37", card("9"), card("8", last4="1", status=PaymentMethodStatus.INACTIVE))}
    for choice, expected in (
        (choice_of("cus_a", P.LOANPRO, "37", "9"), []),
        (choice_of("cus_a", P.LOANPRO, "37", "8"), ["DEFAULT_INACTIVE"]),
        (choice_of("cus_a", P.LOANPRO, "37", "7"), ["DEFAULT_GONE"]),
        (choice_of("cus_a", P.LOANPRO, "37", "7", at=NOW + timedelta(seconds=1)), []),
        (choice_of("cus_a", P.LOANPRO, "38", "9"), ["DEFAULT_GONE"]),
        (choice_of("cus_a", P.ALOHA, "al", "9"), ["DEFAULT_GONE"]),
        (choice_of("cus_a", P.CASELLE, "cs", "9"), []),
    ):
        assert codes(entry(choice), listed) == expected, choice


async def test_a_default_that_changed_meanwhile_or_of_an_erased_customer_stays(store: Store) -> None:
    made = await store.directory.create(external_id="a")
    old, new = (MethodAddress(P.LOANPRO, CustomerRef("37"), MethodRef(ref)) for ref in ("1", "2"))
    await store.directory.set_choice(made.id, old, set_by="staff:ann", set_at=LONG_AGO)
    found = await store.directory.choice(made.id)
    assert found is not None
    await store.directory.set_choice(made.id, new, set_by="staff:ann", set_at=LONG_AGO)
    assert await store.transaction(clear_default, found, asked_at=NOW) is False
    await store.directory.set_choice(made.id, old, set_by="staff:ann", set_at=LONG_AGO)
    assert await store.transaction(clear_default, found, asked_at=LONG_AGO) is False, "asked before it was set"
    assert await store.transaction(clear_default, found, asked_at=NOW) is True
    await store.directory.set_choice(made.id, old, set_by="staff:ann", set_at=LONG_AGO)
    await store.erase(made.id)
    assert await store.transaction(clear_default, found, asked_at=NOW) is False
