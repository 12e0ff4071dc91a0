"""Customers and links over HTTP: created here and in the vaults, linked, unlinked, erased; row by row."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from app.sandbox.demo import ALEX
from tests.support.adding import ach, adding, aloha_connected, caselle_card, loanpro_card, new_key
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, each_vault, upstream
from tests.support.mutating import ADD, CREATE, ERASE, LINK, UNLINK, codes, ids, methods, run
from tests.support.sandbox import RunningSandbox

SETTINGS = each_vault(fresh_for_s=0)
ADDRESS = {"line1": "7 Test Way", "city": "Provo", "region": "UT", "postalCode": "84601", "country": "US"}


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(sandbox_server.url, tmp_path_factory.mktemp("customers"), **SETTINGS) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    return shared


def person(*vaults: str, **more: Any) -> dict[str, Any]:
    """A customer that no vault confuses with another one."""
    number = uuid4().int % 10_000
    unique = uuid4().hex[:12]
    return {
        "externalId": f"crm-{unique}",
        "idempotencyKey": new_key(),
        "name": {"first": "Ada", "last": "Example"},
        "email": f"ada-{unique}@example.com",
        "phone": f"+1 385 555 {number:04d}",
        "address": ADDRESS | {"line1": f"{number} {unique} Way"},
        "provisionAt": list(vaults),
        **more,
    }


def rows(payload: Any) -> dict[str, tuple[str, str]]:
    found = [edge["node"] for edge in payload["operation"]["results"]["edges"]]
    return {row["provider"]: (row["state"], row["outcome"]) for row in found}


def create(gateway: RunningGateway, *vaults: str, **more: Any) -> Any:
    return run(gateway, CREATE, person(*vaults, **more))


def test_a_customer_without_vaults_costs_no_call(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = person()
    sandbox.clear_calls()
    done = run(gateway, CREATE, value)
    assert done["userErrors"] == []
    shown = done["customer"]
    assert (shown["externalId"], shown["name"], shown["email"]) == (value["externalId"], "Ada Example", value["email"])
    assert (shown["links"], shown["paymentMethods"]) == ([], [])
    assert done["operation"]["state"] == "SUCCEEDED"
    assert upstream(sandbox) == {}
    again = run(gateway, CREATE, value)
    assert (again["customer"], again["operation"]["replayed"]) == (shown, True)


def test_a_customer_is_created_in_the_vaults_and_linked(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = create(gateway, "LOANPRO", "ALOHA", "CASELLE")
    assert done["userErrors"] == []
    assert rows(done) == dict.fromkeys(("LOANPRO", "ALOHA", "CASELLE"), ("SUCCEEDED", "APPLIED"))
    assert sorted(link["provider"] for link in done["customer"]["links"]) == ["ALOHA", "CASELLE", "LOANPRO"]
    assert {link["proof"] for link in done["customer"]["links"]} == {"CREATED_BY_GATEWAY"}


def test_jpmorgan_creates_no_profile_without_a_method(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.clear_calls()
    done = create(gateway, "JPMORGAN")
    assert [(error["code"], error["path"]) for error in done["userErrors"]] == [
        ("UNSUPPORTED_BY_PROVIDER", ["input", "provisionAt"])
    ]
    assert (done["customer"], upstream(sandbox)) == (None, {})


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"email": None}, "REQUIRED", ["input", "email"]),
        ({"email": "not-an-address"}, "INVALID_INPUT", ["input", "email"]),
        ({"address": None}, "REQUIRED", ["input", "address", "line1"]),
        ({"address": ADDRESS | {"region": "Utah"}}, "INVALID_INPUT", ["input", "address", "region"]),
        ({"name": {"first": "4111 1111 1111 1111", "last": "x"}}, "PAN_NOT_ALLOWED", ["input", "name", "first"]),
        ({"name": {"first": " ", "last": "x"}}, "REQUIRED", ["input", "name", "first"]),
        ({"name": {"first": " "}}, "REQUIRED", ["input", "name", "last"]),
        ({"name": None}, "REQUIRED", ["input", "name"]),
        ({"name": None, "businessName": "Example Ltd"}, "REQUIRED", ["input", "name", "first"]),
        ({"address": ADDRESS | {"postalCode": None}}, "REQUIRED", ["input", "address", "postalCode"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_missing_vault_fields_are_reported_before_any_call(
    gateway: RunningGateway, sandbox: RunningSandbox, change: dict[str, Any], code: str, path: list[str]
) -> None:
    sandbox.clear_calls()
    done = create(gateway, "LOANPRO", **change)
    assert (code, path) in [(error["code"], error["path"]) for error in done["userErrors"]]
    assert (done["customer"], upstream(sandbox)) == (None, {})


def test_an_external_id_is_used_once(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = create(gateway, externalId="user-88420")
    ((error),) = done["userErrors"]
    assert (error["code"], error["path"]) == ("DUPLICATE", ["input", "externalId"])
    assert done["customer"] is None


def test_a_vault_that_fails_leaves_the_others_done(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = create(gateway, "CASELLE", "ALOHA", email=ALEX.email)  # which Aloha has already
    assert rows(done) == {"CASELLE": ("SUCCEEDED", "APPLIED"), "ALOHA": ("FAILED", "NOT_APPLIED")}
    assert done["operation"]["state"] == "PARTIAL"
    assert [(error["code"], error["path"]) for error in done["userErrors"]] == [
        ("LINK_CONFLICT", ["input", "provisionAt"])
    ]
    assert [link["provider"] for link in done["customer"]["links"]] == ["CASELLE"]


@pytest.mark.parametrize(
    ("way", "provider"),
    [(ach, "JPMORGAN"), (caselle_card, "CASELLE")],
    ids=["jpmorgan", "caselle"],
)
def test_adding_may_create_the_customer_in_the_vault(
    gateway: RunningGateway, sandbox: RunningSandbox, way: Any, provider: str
) -> None:
    customer = create(gateway)["customer"]["id"]
    value = adding(way(sandbox), customer)
    assert codes(run(gateway, ADD, value)) == ["NOT_LINKED"]
    done = run(gateway, ADD, value | {"provision": True, "idempotencyKey": new_key()})
    assert done["userErrors"] == []
    assert ids(done["customer"]["paymentMethods"]) == [done["paymentMethod"]["id"]]
    assert [one["provider"] for one in methods(gateway, customer=customer)] == [provider]


@pytest.mark.parametrize("way", [loanpro_card, aloha_connected], ids=["loanpro", "aloha"])
def test_missing_provisioning_fields_are_reported_by_field(
    gateway: RunningGateway, sandbox: RunningSandbox, way: Any
) -> None:
    customer = create(gateway, email=None, phone=None, address=None)["customer"]["id"]
    value = adding(way(sandbox), customer, provision=True)
    sandbox.clear_calls()
    done = run(gateway, ADD, value)
    assert set(codes(done)) <= {"REQUIRED", "INVALID_INPUT"}
    assert done["userErrors"] != []
    assert (done["paymentMethod"], upstream(sandbox)) == (None, {})


def test_a_link_needs_a_customer_whom_the_vault_knows(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**SETTINGS)

    def link(customer: str, provider: str, ref: str) -> Any:
        return run(
            gateway,
            LINK,
            {"customerId": customer, "idempotencyKey": new_key(), "provider": provider, "customerRef": ref},
        )

    unknown = link("cus_kim", "CASELLE", "cus_nobody")
    assert (codes(unknown), unknown["link"]) == (["NOT_FOUND"], None)
    taken = link("cus_kim", "CASELLE", "cus_88420")
    assert [(error["__typename"], error["code"]) for error in taken["userErrors"]] == [
        ("ConflictError", "LINK_CONFLICT")
    ]
    done = link("cus_kim", "CASELLE", "cus_load0001")
    assert codes(done) == ["LINK_CONFLICT"]  # linked to a load customer
    unlinked = run(gateway, UNLINK, {"customerId": "cus_sam", "provider": "CASELLE", "reason": "Wrong person."})
    assert (unlinked["userErrors"], unlinked["link"]) == ([], None)
    assert "CASELLE" not in [one["provider"] for one in unlinked["customer"]["links"]]
    assert "CASELLE" not in [one["provider"] for one in unlinked["customer"]["paymentMethods"]]
    moved = link("cus_kim", "CASELLE", "cus_88421")
    assert moved["userErrors"] == []
    assert (moved["link"]["provider"], moved["link"]["proof"]) == ("CASELLE", "TRUSTED_BACKEND")
    assert len(moved["customer"]["paymentMethods"]) == len(methods(gateway, "CASELLE", "cus_kim")) > 0


@pytest.mark.parametrize("ref", ["../health", "37 or id gt 0", "", "\u202e37"])
def test_an_invalid_reference_is_refused_without_a_call(
    gateway: RunningGateway, sandbox: RunningSandbox, ref: str
) -> None:
    sandbox.clear_calls()
    value = {"customerId": "cus_kim", "idempotencyKey": new_key(), "provider": "LOANPRO", "customerRef": ref}
    done = run(gateway, LINK, value)
    assert set(codes(done)) <= {"NOT_FOUND", "INVALID_INPUT", "REQUIRED"}
    assert (done["link"], upstream(sandbox)) == (None, {})


def test_erasing_goes_vault_by_vault(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**SETTINGS)
    value = {"customerId": "cus_alex", "idempotencyKey": new_key(), "confirmExternalId": "user-88420"}
    wrong = run(gateway, ERASE, value | {"confirmExternalId": "user-88421", "idempotencyKey": new_key()})
    assert [(error["code"], error["path"]) for error in wrong["userErrors"]] == [
        ("INVALID_INPUT", ["input", "confirmExternalId"])
    ]
    done = run(gateway, ERASE, value)
    found = rows(done)
    assert {name for name, (state, _) in found.items() if state == "SUCCEEDED"} == {"LOANPRO", "JPMORGAN", "CASELLE"}
    assert found["ALOHA"] == ("FAILED", "NOT_APPLIED")
    assert done["operation"]["state"] == "PARTIAL"
    assert [row for row in sandbox.held("caselle", "cus_88420") if row["active"]] == []
    assert [row for row in sandbox.held("loanpro", "37") if row["active"]] == []


@pytest.mark.parametrize(
    ("way", "more"),
    [(loanpro_card, {"billingAddress": ADDRESS}), (aloha_connected, {})],
    ids=["loanpro", "aloha"],
)
def test_provisioning_fields_may_be_in_the_method(
    start_gateway: StartGateway, sandbox: RunningSandbox, way: Any, more: dict[str, Any]
) -> None:
    """Needs its own gateway: a reset sandbox issues the same refs again, which the module's gateway has linked."""
    gateway = start_gateway(**SETTINGS)
    customer = create(gateway)["customer"]["id"]
    done = run(gateway, ADD, adding(way(sandbox), customer, provision=True, **more))
    assert done["userErrors"] == []
    assert ids(done["customer"]["paymentMethods"]) == [done["paymentMethod"]["id"]]
