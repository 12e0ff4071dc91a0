"""3-D Secure through GraphQL: which cards are requested, and the effect of failures."""

from dataclasses import replace
from typing import Any

from app.errors import VaultUnavailable
from app.vault.enums import AuthPurpose, AuthStatus, CustomerRef, MethodRef, NextActionKind
from app.vault.model import BankAccount, NextAction, ThreeDSecure
from app.vault.secret import Secret
from tests.support.memory import LONG_AGO, P, World, card, choice_of


def world_with(**results: Any) -> World:
    """J.P. Morgan has one card per result and a bank account; the first card is its default."""
    world = World()
    bank = BankAccount(provider=P.JPMORGAN, customer_ref=CustomerRef("-"), method_ref=MethodRef("ach"), last4="6789")
    cards = [card(ref, last4="333" + ref[-1], is_provider_default=ref == "pm1") for ref in results]
    world.vaults[P.JPMORGAN].put("PACJGQ", *cards, bank)
    for ref, result in results.items():
        if result is not None:
            is_status = isinstance(result, AuthStatus)
            world.vaults[P.JPMORGAN].results[MethodRef(ref)] = ThreeDSecure(status=result) if is_status else result
    return world


FAILING = VaultUnavailable(P.JPMORGAN)
STATUSES = """{ customer(id: "cus_a") {
  paymentMethods(filter: {providers: [JPMORGAN]}) { label authStatus } sources { state message } isComplete
} }"""


async def test_without_a_field_that_needs_it_there_is_no_status_call() -> None:
    world = world_with(pm1=AuthStatus.AUTHENTICATED)
    await world.data('{ customer(id: "cus_a") { paymentMethods { label } defaultMethod { id } sources { state } } }')
    assert world.vaults[P.JPMORGAN].status_calls == []


async def test_each_card_status_is_read_once_and_bank_accounts_never() -> None:
    world = world_with(pm1=AuthStatus.AUTHENTICATED, pm2=AuthStatus.FAILED, pm3=None)
    data = await world.data(
        """{ customer(id: "cus_a") {
          paymentMethods(filter: {providers: [JPMORGAN]}) {
            label authStatus ... on Card { threeDSecure { status } twice: threeDSecure { status } }
          }
          again: paymentMethods { authStatus } authStatus authSummary { status challengePending { id } }
        } }"""
    )
    assert sorted(world.vaults[P.JPMORGAN].status_calls) == ["pm1", "pm2", "pm3"]
    assert {one["label"]: one["authStatus"] for one in data["customer"]["paymentMethods"]} == {
        "Visa ending 3331": "AUTHENTICATED",
        "Visa ending 3332": "FAILED",
        "Visa ending 3333": "NOT_PERFORMED",
        "Bank account ending 6789": "NOT_APPLICABLE",
    }
    assert data["customer"]["authStatus"] == "AUTHENTICATED"


async def test_the_customers_status_reads_only_the_default_card() -> None:
    world = world_with(pm1=AuthStatus.AUTHENTICATED, pm2=AuthStatus.FAILED)
    data = await world.data('{ customer(id: "cus_a") { authStatus authSummary { status basis { label } } } }')
    assert data["customer"] == {
        "authStatus": "AUTHENTICATED",
        "authSummary": {"status": "AUTHENTICATED", "basis": {"label": "Visa ending 3331"}},
    }
    assert world.vaults[P.JPMORGAN].status_calls == ["pm1"]


async def test_a_default_at_a_vault_without_3ds_is_not_applicable() -> None:
    world = world_with(pm1=AuthStatus.AUTHENTICATED)
    world.directory.known["cus_a"] = replace(
        world.directory.known["cus_a"], choice=choice_of("cus_a", P.LOANPRO, "37", "9")
    )
    assert await world.data('{ customer(id: "cus_a") { authStatus } }') == {
        "customer": {"authStatus": "NOT_APPLICABLE"}
    }
    assert world.vaults[P.JPMORGAN].status_calls == []


async def test_a_failing_status_call_is_unknown_for_that_card_and_partial_for_its_vault() -> None:
    world = world_with(pm1=AuthStatus.AUTHENTICATED, pm2=FAILING)
    result = await world.ask(STATUSES)
    assert result.errors is None
    data = result.data["customer"]
    assert [one["authStatus"] for one in data["paymentMethods"]] == ["NOT_APPLICABLE", "AUTHENTICATED", "UNKNOWN"]
    assert data["sources"][2] == {"state": "PARTIAL", "message": "A card's 3-D Secure status could not be read."}
    assert data["isComplete"] is False
    assert [(row["provider"], row["state"]) for row in result.extensions["sources"]] == [("JPMORGAN", "PARTIAL")]


async def test_sources_wait_for_statuses_in_any_document_order() -> None:
    nested = "paymentMethods { customer { defaultMethod { authStatus } } }"
    for fields in (
        "sources { state } paymentMethods { authStatus }",
        "sources { state } defaultMethod { authStatus }",
        "sources { state } authStatus",
        "sources { state } authSummary { status }",
        f"sources {{ state }} {nested}",
        f"{nested} sources {{ state }}",
    ):
        world = world_with(pm1=FAILING)
        data = await world.data('{ customer(id: "cus_a") { ' + fields + " } }")
        assert data["customer"]["sources"][2]["state"] == "PARTIAL", fields


async def test_a_failing_status_does_not_change_the_effective_default() -> None:
    world = world_with(pm1=FAILING)
    data = await world.data('{ customer(id: "cus_a") { authStatus defaultMethodInfo { state reason } } }')
    assert data["customer"] == {
        "authStatus": "UNKNOWN",
        "defaultMethodInfo": {"state": "RESOLVED", "reason": "ONLY_PROVIDER_DEFAULT"},
    }


async def test_all_fields_of_a_result() -> None:
    action = NextAction(
        kind=NextActionKind.REDIRECT, url="https://acs.example/1", client_token=Secret("t0"), expires_at=LONG_AGO
    )
    world = world_with(
        pm1=ThreeDSecure(
            status=AuthStatus.CHALLENGE_REQUIRED,
            purpose=AuthPurpose.ADD_CARD,
            raw_status="PENDING",
            authentication_id="a-1",
            authenticated_at=LONG_AGO,
            next_action=action,
        )
    )
    data = await world.data(
        """{ customer(id: "cus_a") {
          defaultMethod { ... on Card { threeDSecure {
            status purpose rawStatus authenticationId authenticatedAt nextAction { kind url clientToken expiresAt }
          } } }
          authSummary { challengePending { label } isComplete }
        } }"""
    )
    assert data["customer"]["defaultMethod"]["threeDSecure"] == {
        "status": "CHALLENGE_REQUIRED",
        "purpose": "ADD_CARD",
        "rawStatus": "PENDING",
        "authenticationId": "a-1",
        "authenticatedAt": "2020-01-01T00:00:00Z",
        "nextAction": {
            "kind": "REDIRECT",
            "url": "https://acs.example/1",
            "clientToken": "t0",
            "expiresAt": "2020-01-01T00:00:00Z",
        },
    }
    assert data["customer"]["authSummary"] == {"challengePending": [{"label": "Visa ending 3331"}], "isComplete": True}


async def test_no_result_and_a_failed_call_show_no_details() -> None:
    world = world_with(pm1=None, pm2=FAILING)
    data = await world.data(
        """{ customer(id: "cus_a") { paymentMethods(filter: {kinds: [CARD], providers: [JPMORGAN]}) {
          ... on Card { threeDSecure { status } }
        } } }"""
    )
    assert data["customer"]["paymentMethods"] == [{"threeDSecure": None}, {"threeDSecure": None}]
