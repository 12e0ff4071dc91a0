"""What only J.P. Morgan knows: each fact of its profiles, from the emulator to the graph."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.adding import (
    HOME,
    ach,
    adding,
    aloha_freedom_pay,
    bacs,
    caselle_card,
    loanpro_card,
    new_key,
    raw_card,
    sepa,
)
from tests.support.gateway import RunningGateway
from tests.support.gateways import patient, sources
from tests.support.mutating import ADD, CREATE, SET_DEFAULT, UPDATE, run
from tests.support.sandbox import RunningSandbox

ALL = [
    "customers:read",
    "customers:write",
    "payment_methods:read",
    "payment_methods:write",
    "provider_refs:read",
    "pan:write",
    "links:read",
]
AUTHENTICATED = "6d66f2e5-ad81-4848-9884-d5ff32ee7690"


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("facts")
    with RunningGateway(sandbox_server.url, folder, raw_cards=True, **patient(stale_if_error_for_s=0)) as gateway:
        gateway.headers["authorization"] = f"Bearer {gateway.token(ALL)}"
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
  addresses { provider type name isPrimary recipient { first last } isActive paymentMethodIds
    line1 line2 city region postalCode country }
  sources { provider state } } }"""
CONTACTS = """query ($id: ID!) { customer(id: $id) { vaultContacts { provider state phones { number diallingPrefix type
  isDefault } emails { address type isDefault } cardOnFileReference profileCreatedAt profileUpdatedAt } } }"""


def test_every_address_of_the_profile_is_shown(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    last4 = {one["id"]: one["last4"] for one in jpmorgan(gateway, "")}
    sandbox.clear_calls()
    alex = gateway.data(ADDRESSES, id="cus_alex")["customer"]
    used = [sorted(last4[method] for method in one.pop("paymentMethodIds")) for one in alex["addresses"]]
    assert used == [["1111", "9999"], [], ["0919"]]
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


def test_a_change_of_the_profile_alone_is_shown(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    """The methods are the same objects then, and nothing else may be."""
    fields = "vaultContacts { phones { number } profileUpdatedAt } paymentMethods { id }"
    document = f'{{ customer(id: "cus_alex") {{ {fields} }} }}'
    before = gateway.data(document)["customer"]
    known = sandbox.credentials("jpmorgan")
    path = "/jpmorgan/api/v2/mmp/consumer-profiles/PACJGQ/communication"
    phone = {"phoneList": [{"phoneNumber": "7777777717", "countryCode": "1"}]}
    assert sandbox.request("POST", path, phone, known["headers"]).status == 200
    after = gateway.data(document)["customer"]
    assert after["paymentMethods"] == before["paymentMethods"]
    assert [one["number"] for one in after["vaultContacts"][0]["phones"]] == ["8888888828", "7777777717"]
    assert after["vaultContacts"][0]["profileUpdatedAt"] > before["vaultContacts"][0]["profileUpdatedAt"]


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


# ---- what is sent: the status, and what is said about an address -------------------------------------------


WORK = HOME | {"type": "SHIPPING", "name": "Work", "isPrimary": True, "recipient": {"first": "Ada", "last": "Lovelace"}}
LABELS = {
    "firstName": "Ada",
    "lastName": "Lovelace",
    "consumerAssignedAddressName": "Work",
    "primaryAddressIndicator": True,
    "addressType": "SHIPPING",
    "addressStatus": "ACTIVE",
}


def record_of(sandbox: RunningSandbox, ref: str, kind: str = "cardList") -> tuple[Any, Any]:
    """A method and its address, as J.P. Morgan shows them."""
    held = profile(sandbox)
    (method,) = [one for one in held["paymentMethodType"][kind] if one["paymentMethodId"] == ref]
    return method, next(one for one in held["addresses"] if one["addressIdentifier"] == method["addressIdentifier"])


@pytest.mark.parametrize("make", [raw_card, ach], ids=["card", "account"])
def test_a_method_is_added_inactive_with_a_shipping_address(
    gateway: RunningGateway, sandbox: RunningSandbox, make: Any
) -> None:
    done = run(gateway, ADD, adding(make(sandbox), status="INACTIVE", billingAddress=WORK))
    assert (done["userErrors"], done["operation"]["state"]) == ([], "SUCCEEDED")
    kind = "cardList" if make is raw_card else "achList"
    held = profile(sandbox)["paymentMethodType"][kind]
    (ref,) = [one["paymentMethodId"] for one in held if one["accountStatus"] == "INACTIVE"]
    method, address = record_of(sandbox, ref, kind)
    assert {name: address[name] for name in LABELS} == LABELS
    shown = done["paymentMethod"]
    assert (shown["id"] is not None, shown["billingAddress"], method["accountStatus"]) == (True, None, "INACTIVE")
    (new,) = [one for one in gateway.data(ADDRESSES, id="cus_alex")["customer"]["addresses"] if one["city"] == "Leeds"]
    assert (new["type"], new["name"], new["isPrimary"], new["recipient"]) == (
        "SHIPPING", "Work", True, {"first": "Ada", "last": "Lovelace"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "state"), [(None, "SUCCEEDED"), ("drop_after", "SUCCEEDED"), ("drop_before", "FAILED")]
)
def test_an_update_says_what_the_address_is_for(
    gateway: RunningGateway, sandbox: RunningSandbox, fault: str | None, state: str
) -> None:
    """Also if the reply is lost: then the profile shows whether the address is the one that was sent."""
    method = jpmorgan(gateway, "")[0]
    if fault is not None:
        sandbox.fault("jpmorgan", fault, method="PATCH", times=1)
    change = {"id": method["id"], "billingAddress": WORK, "status": "ACTIVE"}
    done = run(gateway, UPDATE, change)
    assert done["operation"]["state"] == state
    _, address = record_of(sandbox, method["providerRef"])
    assert (address["line1"] == HOME["line1"]) is (state == "SUCCEEDED")
    if state == "SUCCEEDED":
        assert {name: address[name] for name in LABELS} == LABELS


def test_a_status_is_changed_by_either_field_and_not_by_both(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    method = jpmorgan(gateway, "")[0]
    refused = run(gateway, UPDATE, {"id": method["id"], "status": "INACTIVE", "active": False})
    assert [(one["code"], one["path"]) for one in refused["userErrors"]] == [("INVALID_INPUT", ["input", "status"])]
    assert run(gateway, UPDATE, {"id": method["id"], "status": "INACTIVE"})["paymentMethod"]["status"] == "INACTIVE"
    assert run(gateway, UPDATE, {"id": method["id"], "active": True})["paymentMethod"]["status"] == "ACTIVE"


@pytest.mark.parametrize("make", [loanpro_card, aloha_freedom_pay, caselle_card], ids=["loanpro", "aloha", "caselle"])
def test_other_vaults_say_that_they_cannot(gateway: RunningGateway, sandbox: RunningSandbox, make: Any) -> None:
    method = make(sandbox)
    sandbox.clear_calls()
    done = run(gateway, ADD, adding(method, status="INACTIVE", billingAddress=WORK))
    found = {(one["code"], *one["path"]) for one in done["userErrors"]}
    assert {
        ("UNSUPPORTED_BY_PROVIDER", "input", "status"),
        ("UNSUPPORTED_BY_PROVIDER", "input", "billingAddress", "type"),
        ("UNSUPPORTED_BY_PROVIDER", "input", "billingAddress", "name"),
        ("UNSUPPORTED_BY_PROVIDER", "input", "billingAddress", "isPrimary"),
        ("UNSUPPORTED_BY_PROVIDER", "input", "billingAddress", "recipient"),
    } <= found
    assert sandbox.calls() == []


@pytest.mark.parametrize(
    ("labels", "path"),
    [
        ({"type": "OTHER"}, ["type"]),
        ({"name": "a<b"}, ["name"]),
        ({"recipient": {"last": "x" * 71}}, ["recipient", "last"]),
    ],
)
def test_wrong_labels_are_named_before_any_call(
    gateway: RunningGateway, sandbox: RunningSandbox, labels: Any, path: list[str]
) -> None:
    sandbox.clear_calls()
    done = run(gateway, ADD, adding(raw_card(sandbox), billingAddress=HOME | labels))
    assert [(one["code"], one["path"]) for one in done["userErrors"]] == [
        ("INVALID_INPUT", ["input", "billingAddress", *path])
    ]
    assert sandbox.calls() == []


def test_an_inactive_method_cannot_become_the_default(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = run(gateway, ADD, adding(raw_card(sandbox), status="INACTIVE", makeDefault=True))
    assert [(one["code"], one["path"]) for one in done["userErrors"]] == [("INVALID_INPUT", ["input", "makeDefault"])]


# ---- the stored-credential reference -----------------------------------------------------------------------


def test_a_card_on_file_reference_is_sent_with_a_new_profile(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    new = {"externalId": "stored-1", "idempotencyKey": new_key(), "name": {"last": "Example"}}
    customer = run(gateway, CREATE, new)["customer"]["id"]
    value = adding(raw_card(sandbox), customer, provision=True, cardOnFileReference="agreement 1")
    refused = run(gateway, ADD, value)
    assert [(one["code"], one["path"]) for one in refused["userErrors"]] == [
        ("INVALID_INPUT", ["input", "cardOnFileReference"])
    ]
    assert sandbox.calls("jpmorgan") == []
    value |= {"cardOnFileReference": "agreement1", "idempotencyKey": new_key()}
    done = run(gateway, ADD, value)
    assert done["userErrors"] == []
    assert run(gateway, ADD, value)["operation"]["replayed"] is True
    (row,) = gateway.data(CONTACTS, id=customer)["customer"]["vaultContacts"]
    assert row["cardOnFileReference"] == "agreement1"
    assert row["profileCreatedAt"] == row["profileUpdatedAt"]
    (card,) = jpmorgan(gateway, "createdAt", customer)
    assert card["createdAt"] == row["profileCreatedAt"]


def test_a_card_on_file_reference_needs_a_new_customer_at_a_vault_that_keeps_it(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    for make, code in ((raw_card, "INVALID_INPUT"), (caselle_card, "UNSUPPORTED_BY_PROVIDER")):
        method = make(sandbox)
        sandbox.clear_calls()
        done = run(gateway, ADD, adding(method, provision=True, cardOnFileReference="agreement1"))
        assert [(one["code"], one["path"]) for one in done["userErrors"]] == [(code, ["input", "cardOnFileReference"])]
        assert sandbox.calls() == []
