"""What only J.P. Morgan knows: each fact of its profiles, from the emulator to the graph."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.adding import adding, bacs, sepa
from tests.support.gateway import RunningGateway
from tests.support.gateways import patient, sources
from tests.support.mutating import ADD, SET_DEFAULT, run
from tests.support.sandbox import RunningSandbox

AUTHENTICATED = "6d66f2e5-ad81-4848-9884-d5ff32ee7690"


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("facts")
    with RunningGateway(sandbox_server.url, folder, raw_cards=True, **patient(stale_if_error_for_s=0)) as gateway:
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


# ---- the profile: addresses, contacts, stamps -------------------------------------------------------------


ADDRESSES = """query ($id: ID!) { customer(id: $id) {
  addresses { provider type name isPrimary recipient { first last } isActive
    line1 line2 city region postalCode country }
  sources { provider state } } }"""
CONTACTS = """query ($id: ID!) { customer(id: $id) { vaultContacts { provider state phones { number diallingPrefix type
  isDefault } emails { address type isDefault } cardOnFileReference profileCreatedAt profileUpdatedAt } } }"""


def test_every_address_of_the_profile_is_shown(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.clear_calls()
    alex = gateway.data(ADDRESSES, id="cus_alex")["customer"]
    assert [(one["type"], one["name"], one["line1"]) for one in alex["addresses"]] == [
        ("SHIPPING", "Work", "200 Elton Farm"),
        ("SHIPPING", "Work2", "400 Elton Farm"),
        ("BILLING", "Work", "300 Elton Street"),
    ]
    assert alex["addresses"][0] == {
        "provider": "JPMORGAN",
        "type": "SHIPPING",
        "name": "Work",
        "isPrimary": True,
        "recipient": {"first": "John", "last": "Doe"},
        "isActive": True,
        "line1": "200 Elton Farm",
        "line2": "Apt 123",
        "city": "Glen Mills",
        "region": "PA",
        "postalCode": "19342",
        "country": "US",
    }
    assert sources(alex) == {"LOANPRO": "SKIPPED", "ALOHA": "SKIPPED", "JPMORGAN": "OK", "CASELLE": "SKIPPED"}
    assert [row["provider"] for row in sandbox.calls()] == ["jpmorgan"]
    assert gateway.data(ADDRESSES, id="cus_sam")["customer"]["addresses"] == []


def test_only_addresses_for_bills_are_billing_addresses(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    def lines() -> dict[str, str | None]:
        found = jpmorgan(gateway, "billingAddress { line1 }")
        return {one["last4"]: (one["billingAddress"] or {}).get("line1") for one in found}

    assert lines() == {"0919": "300 Elton Street", "9999": None, "1111": None}
    sandbox.fault("jpmorgan", "rewrite", method="GET", set={"/addresses/*/addressStatus": "INACTIVE"})
    assert lines() == {"0919": None, "9999": None, "1111": None}


def test_contacts_and_stamps_of_the_profile(gateway: RunningGateway) -> None:
    assert gateway.data(CONTACTS, id="cus_alex")["customer"]["vaultContacts"] == [
        {
            "provider": "JPMORGAN",
            "state": "OK",
            "phones": [{"number": "8888888828", "diallingPrefix": "1", "type": "Home", "isDefault": None}],
            "emails": [{"address": "john.doe.x@gmail.com", "type": "Home", "isDefault": None}],
            "cardOnFileReference": "123",
            "profileCreatedAt": "2021-08-23T00:23:05.353000Z",
            "profileUpdatedAt": "2024-07-02T11:44:52.219000Z",
        }
    ]
    (sam,) = gateway.data(CONTACTS, id="cus_sam")["customer"]["vaultContacts"]
    assert (sam["phones"], sam["emails"], sam["cardOnFileReference"]) == ([], [], None)
    stamps = jpmorgan(gateway, "createdAt profileUpdatedAt")
    assert {(one["createdAt"], one["profileUpdatedAt"]) for one in stamps} == {(None, "2024-07-02T11:44:52.219000Z")}
    untouched = jpmorgan(gateway, "createdAt profileUpdatedAt", "cus_sam")
    assert {(one["createdAt"], one["profileUpdatedAt"]) for one in untouched} == {("2026-01-05T09:00:00Z",) * 2}


def test_an_unreadable_vault_is_said_and_is_not_empty(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.fault("jpmorgan", "status", status=503)
    (row,) = gateway.data(CONTACTS, id="cus_alex")["customer"]["vaultContacts"]
    assert (row["state"], row["phones"], row["emails"]) == ("UNAVAILABLE", None, None)
    reply = gateway.query(ADDRESSES, {"id": "cus_alex"})
    assert (reply.data["customer"]["addresses"], reply.codes) == (None, ["SOURCES_UNAVAILABLE"])
    sandbox.clear_faults()
    sandbox.fault("jpmorgan", "rewrite", method="GET", set={"/communication/phoneList": "x", "/addresses/0": "x"})
    (row,) = gateway.data(CONTACTS, id="cus_alex")["customer"]["vaultContacts"]
    assert (row["state"], row["phones"], len(row["emails"])) == ("OK", None, 1)
    assert gateway.query(ADDRESSES, {"id": "cus_alex"}).data["customer"]["addresses"] is None


def test_contacts_need_a_scope_and_are_written_nowhere(gateway: RunningGateway) -> None:
    document = '{ customer(id: "cus_alex") { vaultContacts { phones { number } } addresses { line1 } } }'
    for scope, missing in (("customers:read", "addresses"), ("payment_methods:read", "customer")):
        reply = gateway.query(document, headers={"authorization": f"Bearer {gateway.token([scope])}"})
        assert [(error["path"][-1], error["extensions"]["code"]) for error in reply.errors] == [(missing, "FORBIDDEN")]
    files = b"".join(path.read_bytes() for path in gateway.data_dir.rglob("*") if path.is_file())
    for personal in ("8888888828", "john.doe.x", "Elton Farm"):
        assert personal not in gateway.log
        assert personal.encode() not in files


def test_the_emulator_drops_unused_addresses_if_asked(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    others = [one["id"] for one in jpmorgan(gateway, "isProviderDefault") if not one["isProviderDefault"]]
    for method, (value, count) in zip(others, (("kept", 3), ("in_use", 2)), strict=True):
        sandbox.switch("jpmorgan", "ADDRESSES_AFTER_DEFAULT", value)
        done = run(gateway, SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": method})
        assert done["userErrors"] == []
        assert len(profile(sandbox)["addresses"]) == count
