"""The published samples of "Link Payment Profile to Customer", sent to the emulator with minted tokens."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.loanpro import LoanPro

SAMPLES = sorted((Path(__file__).parents[1] / "documented" / "loanpro").glob("link_*.json"))


def minted(vault: LoanPro, element: dict[str, Any]) -> dict[str, Any]:
    """The sample's element, with its token replaced by one of the same kind minted by this vault."""
    made = vault.card() if "CreditCard" in element else vault.bank()
    name = "CreditCard" if "CreditCard" in element else "CheckingAccount"
    return {**element, name: {**element[name], "token": made[name]["token"]}}


def test_all_three_samples_are_here() -> None:
    assert [path.stem for path in SAMPLES] == ["link_bank_account", "link_both", "link_card"]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
async def test_answer_lists_every_profile_and_the_newest_last(path: Path) -> None:
    sample = json.loads(path.read_text())
    vault = LoanPro(LINK_RESPONSE="expanded_newest_last")
    await vault.link(39, vault.card(), vault.bank())
    elements = sample["request"]["json"]["PaymentAccounts"]["results"]
    before = [row["id"] for row in await vault.accounts(39)]
    target = sample["request"]["path"].replace("(37)", "(39)")  # without its own primary
    sent = {"PaymentAccounts": {"results": [minted(vault, element) for element in elements]}}

    reply = await vault.lms(sample["request"]["method"], target, sent)

    assert reply.status == sample["response"]["status"]
    shown = reply.json()["d"]["PaymentAccounts"]["results"]
    ids = [row["id"] for row in shown]
    assert ids == sorted(ids)
    assert sorted(before) == ids[: len(before)]
    assert len(ids) == len(before) + len(elements)
    for row, element in zip(shown[len(before) :], elements, strict=True):
        flags = ("active", "isPrimary", "isSecondary", "title", "type")
        assert {name: row[name] for name in flags} == {name: element[name] for name in flags}
