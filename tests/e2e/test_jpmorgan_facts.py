"""What only J.P. Morgan knows: each fact of its profiles, from the emulator to the graph."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.adding import adding, bacs, sepa
from tests.support.gateway import RunningGateway
from tests.support.gateways import patient
from tests.support.mutating import ADD, SET_DEFAULT, run
from tests.support.sandbox import RunningSandbox

AUTHENTICATED = "6d66f2e5-ad81-4848-9884-d5ff32ee7690"


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("facts")
    with RunningGateway(sandbox_server.url, folder, raw_cards=True, **patient()) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    """One for the module; the vaults are reset for every test."""
    return shared


def profile(sandbox: RunningSandbox, ref: str = "PACJGQ") -> Any:
    """The profile as J.P. Morgan shows it."""
    known = sandbox.credentials("jpmorgan")
    path = f"/jpmorgan/api/v2/mmp/consumer-profiles/{ref}"
    return sandbox.request("GET", path, headers=known["headers"]).json()


def jpmorgan(gateway: RunningGateway, fields: str, customer: str = "cus_alex") -> list[Any]:
    """The fields of the customer's methods at J.P. Morgan."""
    document = f"""query ($id: ID!) {{ customer(id: $id) {{
      paymentMethods(filter: {{providers: [JPMORGAN]}}) {{ id last4 providerRef {fields} }} }} }}"""
    found: list[Any] = gateway.data(document, id=customer)["customer"]["paymentMethods"]
    return found


# ---- 3-D Secure -------------------------------------------------------------------------------------------


STATUS = """... on Card { threeDSecure { status rawStatus authenticationId authenticatedAt transactionIdentifier
  responseCode responseMessage hostMessage } }"""


def test_everything_that_the_status_call_says_is_shown(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    shown = {one["providerRef"]: one["threeDSecure"] for one in jpmorgan(gateway, STATUS)}
    assert shown[AUTHENTICATED] == {
        "status": "AUTHENTICATED",
        "rawStatus": "SUCCESS",
        "authenticationId": "3aeebeed-1c22-4c32-ae63-5c537c3cbaa2",
        "authenticatedAt": "2025-08-14T10:43:52.100000Z",
        "transactionIdentifier": "0eec7ed4-3ecc-4c5c-952e-57a3fbfa5727",
        "responseCode": "ACCEPTED",
        "responseMessage": "Request Accepted",
        "hostMessage": "Success",
    }
    sandbox.three_ds(AUTHENTICATED, "DENIED")
    (denied,) = [one for one in jpmorgan(gateway, STATUS) if one["providerRef"] == AUTHENTICATED]
    assert denied["threeDSecure"]["responseCode"] == "AUTHENTICATION_DENIED"
    assert denied["threeDSecure"]["hostMessage"] is None, "blank"


def test_a_message_with_a_card_number_is_not_shown(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.fault(
        "jpmorgan",
        "rewrite",
        path=f"/api/v2/mmp/consumer-profiles/PACJGQ/payment-methods/{AUTHENTICATED}/status",
        set={"/cardAuthenticationDetails/hostMessage": "Success 4012888888881881"},
    )
    (card,) = [one for one in jpmorgan(gateway, STATUS) if one["providerRef"] == AUTHENTICATED]
    assert card["threeDSecure"]["hostMessage"] is None
    assert card["threeDSecure"]["responseMessage"] == "Request Accepted"


# ---- mandates ---------------------------------------------------------------------------------------------


MANDATES = "... on BankAccount { rail mandates { mandateId mandateType signedOn reference } }"


@pytest.mark.parametrize("make", [sepa, bacs], ids=["sepa", "bacs"])
def test_mandates_of_an_account_are_shown(gateway: RunningGateway, sandbox: RunningSandbox, make: Any) -> None:
    added = run(gateway, ADD, adding(make(sandbox)))
    assert added["userErrors"] == []
    (account,) = [one for one in jpmorgan(gateway, MANDATES) if one["id"] == added["paymentMethod"]["id"]]
    (mandate,) = account["mandates"]
    assert mandate.pop("reference").isdigit()
    assert mandate == {"mandateId": "MND-1", "mandateType": "RECURRING", "signedOn": "2025-06-30"}


def test_an_ach_account_has_no_mandates(gateway: RunningGateway) -> None:
    assert [one["mandates"] for one in jpmorgan(gateway, MANDATES, "cus_sam") if "rail" in one] == [None]


# ---- addresses --------------------------------------------------------------------------------------------


def test_the_emulator_drops_unused_addresses_if_asked(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    others = [one["id"] for one in jpmorgan(gateway, "isProviderDefault") if not one["isProviderDefault"]]
    for method, (value, count) in zip(others, (("kept", 3), ("in_use", 2)), strict=True):
        sandbox.switch("jpmorgan", "ADDRESSES_AFTER_DEFAULT", value)
        done = run(gateway, SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": method})
        assert done["userErrors"] == []
        assert len(profile(sandbox)["addresses"]) == count
