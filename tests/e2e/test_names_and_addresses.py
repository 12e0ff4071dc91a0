"""Real-world names and addresses: single names, businesses, accents, countries without postal codes."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support.adding import ach, adding, caselle_card, new_key
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault, upstream
from tests.support.mutating import ADD, CREATE, UPDATE, run
from tests.support.sandbox import RunningSandbox

HONG_KONG = {"line1": "18 Queen's Road Central", "city": "Hong Kong", "country": "HK"}
DECOMPOSED, COMPOSED = "Jose\u0301", "José"
HOLDER = "query ($id: ID!) { paymentMethod(id: $id) { ... on BankAccount { holderName } ... on Card { holderName } } }"


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("names")
    with RunningGateway(sandbox_server.url, folder, **each_vault(fresh_for_s=0)) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    return shared


def create(gateway: RunningGateway, *vaults: str, **more: Any) -> Any:
    unique = uuid4().hex[:12]
    given = {
        "externalId": f"crm-{unique}",
        "idempotencyKey": new_key(),
        "email": f"someone-{unique}@example.com",
        "provisionAt": list(vaults),
    }
    return run(gateway, CREATE, given | more)


def faults(payload: Any) -> list[tuple[str, str]]:
    return [(error["code"], ".".join(error["path"])) for error in payload["userErrors"]]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"name": {"first": "Madonna"}}, "Madonna"),
        ({"name": {"last": "Sukarno"}}, "Sukarno"),
        ({"name": {"first": "", "last": "Sukarno"}}, "Sukarno"),
        ({"name": {"first": DECOMPOSED, "last": "Núñez"}}, "José Núñez"),
        ({"name": {"first": "太郎", "last": "山田\u3000"}}, "太郎 山田"),
        ({"name": {"first": "Siân", "last": "O’Brien-Łukasiewicz, Jr."}}, "Siân O’Brien-Łukasiewicz, Jr."),
        ({"businessName": "Example & Sons Ltd."}, "Example & Sons Ltd."),
        ({"businessName": "Example GmbH", "name": {"first": "Ada", "last": "Example"}}, "Example GmbH"),
    ],
)
def test_any_name_is_accepted(gateway: RunningGateway, given: dict[str, Any], shown: str) -> None:
    done = create(gateway, "CASELLE", **given)
    assert done["userErrors"] == []
    assert done["customer"]["name"] == shown


@pytest.mark.parametrize("given", [{"name": {"first": "Madonna"}}, {"businessName": "Example Ltd"}])
@pytest.mark.parametrize("vault", ["LOANPRO", "ALOHA"])
def test_a_vault_that_needs_two_names_reports_it(
    gateway: RunningGateway, sandbox: RunningSandbox, vault: str, given: dict[str, Any]
) -> None:
    sandbox.clear_calls()
    done = create(gateway, vault, address=HONG_KONG | {"region": "HK"}, **given)
    assert {code for code, _ in faults(done)} == {"REQUIRED"}
    assert {path for _, path in faults(done)} <= {"input.name.first", "input.name.last"}
    assert upstream(sandbox) == {}


def test_a_business_is_sent_as_one_with_its_contact(gateway: RunningGateway) -> None:
    name = {"first": "Ada", "last": "Example"}
    address = HONG_KONG | {"region": "HK"}
    done = create(gateway, "LOANPRO", "ALOHA", businessName="Example Ltd", name=name, address=address)
    assert done["userErrors"] == []
    assert sorted(link["provider"] for link in done["customer"]["links"]) == ["ALOHA", "LOANPRO"]


@pytest.mark.parametrize(
    "given",
    [{"name": {"first": DECOMPOSED}}, {"name": {"last": "Sukarno"}}, {"businessName": "Example & Sons (HK) Ltd."}],
)
def test_a_profile_at_jpmorgan_needs_no_second_name(gateway: RunningGateway, given: dict[str, Any]) -> None:
    customer = create(gateway, **given)["customer"]["id"]
    value = adding(ach(None, firstName=DECOMPOSED, lastName=None), customer, billingAddress=HONG_KONG)  # type: ignore[arg-type]
    done = run(gateway, ADD, value | {"provision": True})
    assert done["userErrors"] == []
    method = done["paymentMethod"]["id"]
    assert gateway.data(HOLDER, id=method)["paymentMethod"] == {"holderName": COMPOSED}
    changed = run(gateway, UPDATE, {"id": method, "holder": {"last": "Sukarno"}})
    assert changed["userErrors"] == []
    assert gateway.data(HOLDER, id=changed["paymentMethod"]["id"])["paymentMethod"] == {"holderName": "Sukarno"}


def test_a_holder_at_caselle_is_sent_composed(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = run(gateway, ADD, adding(caselle_card(sandbox, holderName=f"{DECOMPOSED}\u00a0 Núñez")))
    assert done["userErrors"] == []
    method = done["paymentMethod"]["id"]
    assert gateway.data(HOLDER, id=method)["paymentMethod"] == {"holderName": "José Núñez"}


@pytest.mark.parametrize("country", ["HK", "AE", "AO", "PA", "IE", "QA", "GH", "MO", "FJ"])
@pytest.mark.parametrize("code", [{}, {"postalCode": None}, {"postalCode": " "}])
def test_a_country_without_postal_codes_needs_none(gateway: RunningGateway, country: str, code: dict[str, Any]) -> None:
    address = HONG_KONG | {"country": country} | code
    assert create(gateway, name={"last": "Example"}, address=address)["userErrors"] == []


@pytest.mark.parametrize("country", ["US", "GB", "DE", "JP", "BR", "IN"])
def test_a_country_with_postal_codes_needs_one(gateway: RunningGateway, country: str) -> None:
    done = create(gateway, name={"last": "Example"}, address=HONG_KONG | {"country": country})
    assert faults(done) == [("REQUIRED", "input.address.postalCode")]
    value = adding(ach(None), billingAddress=HONG_KONG | {"country": country})  # type: ignore[arg-type]
    assert faults(run(gateway, ADD, value)) == [("REQUIRED", "input.billingAddress.postalCode")]


def test_a_name_is_needed_all_the_same(gateway: RunningGateway) -> None:
    assert faults(create(gateway)) == [("REQUIRED", "input.name")]
    assert faults(create(gateway, name={})) == [("REQUIRED", "input.name.last")]
    assert faults(create(gateway, name={"first": " \u3000"})) == [("REQUIRED", "input.name.last")]
