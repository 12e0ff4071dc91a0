"""A vault's customer in another spelling is the same customer, in every input."""

from typing import Any

import pytest
from ulid import ULID

from app.vault.enums import CustomerRef, ProviderName
from app.wallet.ids import Ids
from tests.e2e.test_import_mutation import imported, outcomes
from tests.support.gateway import KEYS, RunningGateway
from tests.support.gateways import StartGateway, patient, sources, upstream
from tests.support.mutating import LINK, UNLINK, codes, run
from tests.support.sandbox import RunningSandbox

LINKS = '{ customer(id: "cus_alex") { links { provider customerRef } } }'
FIND = "query ($by: CustomerBy!) { findCustomer(by: $by) { id } }"


def refs_of_alex(gateway: RunningGateway) -> dict[str, str]:
    return {one["provider"]: one["customerRef"] for one in gateway.data(LINKS)["customer"]["links"]}


def spelled(provider: str, ref: str) -> list[str]:
    """Other spellings of the same ref."""
    return {
        "LOANPRO": [f"0{ref}", f"+{ref}"],
        "ALOHA": [ref.upper(), "{" + ref.upper() + "}", ref.replace("-", "")],
        "JPMORGAN": [ref.lower()],
        "CASELLE": [f" {ref} "],
    }[provider]


def link(gateway: RunningGateway, customer: str, provider: str, ref: str) -> Any:
    value = {"customerId": customer, "idempotencyKey": f"k-{ULID()}", "provider": provider, "customerRef": ref}
    return run(gateway, LINK, value)


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway(**patient())


def test_a_linked_ref_is_taken_in_every_spelling(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    refs = refs_of_alex(gateway)
    sandbox.clear_calls()
    for provider, ref in refs.items():
        for other in spelled(provider, ref):
            assert codes(link(gateway, "cus_kim", provider, other)) == ["LINK_CONFLICT"], other
            assert gateway.data(FIND, by={"providerRef": {"provider": provider, "customerRef": other}}) == {
                "findCustomer": {"id": "cus_alex"}
            }
            same = link(gateway, "cus_alex", provider, other)
            assert (codes(same), same["link"]["customerRef"]) == ([], ref)
            row = {"externalId": "user-88422", "provider": provider, "customerRef": other}
            assert outcomes(imported(gateway, [row], dryRun=False)) == [(0, "FAILED", "NOT_APPLIED", "LINK_CONFLICT")]
    assert gateway.data('{ customer(id: "cus_kim") { links { provider } } }') == {"customer": {"links": []}}


@pytest.mark.parametrize("provider", ["LOANPRO", "ALOHA", "JPMORGAN", "CASELLE"])
def test_a_link_is_stored_in_canonical_spelling(gateway: RunningGateway, provider: str) -> None:
    ref = refs_of_alex(gateway)[provider]
    run(gateway, UNLINK, {"customerId": "cus_alex", "provider": provider, "reason": "Moved."})
    made = link(gateway, "cus_kim", provider, spelled(provider, ref)[0])
    assert (codes(made), made["link"]["customerRef"]) == ([], ref)
    run(gateway, UNLINK, {"customerId": "cus_kim", "provider": provider, "reason": "Moved back."})
    row = {"externalId": "user-88420", "provider": provider, "customerRef": spelled(provider, ref)[-1]}
    assert outcomes(imported(gateway, [row], dryRun=False)) == [(0, "SUCCEEDED", "APPLIED", None)]
    assert refs_of_alex(gateway)[provider] == ref


def test_two_spellings_in_one_import_are_one_customer(gateway: RunningGateway) -> None:
    refs = refs_of_alex(gateway)
    run(gateway, UNLINK, {"customerId": "cus_alex", "provider": "ALOHA", "reason": "Moved."})
    rows = [
        {"externalId": external_id, "provider": "ALOHA", "customerRef": ref}
        for external_id, ref in (("user-88420", refs["ALOHA"].upper()), ("user-88422", refs["ALOHA"]))
    ]
    assert outcomes(imported(gateway, rows, dryRun=False)) == [
        (0, "SUCCEEDED", "APPLIED", None),
        (1, "FAILED", "NOT_APPLIED", "LINK_CONFLICT"),
    ]


def test_an_id_made_with_an_older_spelling_still_finds_its_method(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    ref = refs_of_alex(gateway)["ALOHA"]
    held = gateway.data('{ customer(id: "cus_alex") { paymentMethods(filter: {providers: [ALOHA]}) { id } } }')
    good = held["customer"]["paymentMethods"][0]["id"]
    address = gateway.gateway.ids.decode(good)
    assert address is not None
    old = Ids(KEYS["id_key"]).encode(ProviderName.ALOHA, CustomerRef(ref.upper()), address.method_ref)
    assert old != good
    assert gateway.gateway.ids.decode(old) == address
    assert gateway.data("query ($id: ID!) { paymentMethod(id: $id) { id } }", id=old) == {"paymentMethod": {"id": good}}


def test_a_linked_customer_is_read_once_whatever_its_spelling(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.clear_calls()
    found = gateway.data('{ customer(id: "cus_alex") { sources { provider state } } }')["customer"]
    assert set(sources(found).values()) == {"OK"}
    assert set(upstream(sandbox).values()) == {1}
