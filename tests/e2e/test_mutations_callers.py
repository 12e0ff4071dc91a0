"""Who may write: an end user only for itself, a caller only with the scope, without learning of other customers."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.adding import adding, caselle_card, new_key
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault, upstream
from tests.support.mutating import ADD, DELETE, ERASE, LINK, SET_DEFAULT, UNLINK, UPDATE, codes, methods, run
from tests.support.partners import PartnerApp
from tests.support.sandbox import RunningSandbox

IMPORT = "mutation ($input: ImportPaymentMethodsInput!) { importPaymentMethods(input: $input) { operation { id } } }"
WRITE = "payment_methods:write"
READ = ["customers:read", "payment_methods:read"]


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("callers")
    with RunningGateway(sandbox_server.url, folder, **each_vault(fresh_for_s=0)) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    return shared


def payload(gateway: RunningGateway, token: str, document: str, value: dict[str, Any]) -> Any:
    reply = gateway.query(document, {"input": value}, headers={"authorization": f"Bearer {token}"})
    assert reply.errors == []
    (found,) = reply.data.values()
    return found


def test_an_end_user_adds_to_its_own_wallet(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    token = gateway.token([WRITE, *READ], "cus_alex")
    done = payload(gateway, token, ADD, adding(caselle_card(sandbox)))
    assert (done["userErrors"], done["customer"]["id"]) == ([], "cus_alex")


def test_an_end_user_cannot_write_for_other_customers(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    """And cannot distinguish another customer from an unknown one."""
    foreign = methods(gateway, "CASELLE", "cus_sam")[0]["id"]
    token = gateway.token([WRITE, *READ], "cus_alex")
    asked: list[tuple[str, dict[str, Any]]] = [
        (ADD, adding(caselle_card(sandbox), "cus_sam")),
        (UPDATE, {"id": foreign, "nickname": "Mine now"}),
        (SET_DEFAULT, {"customerId": "cus_sam", "paymentMethodId": foreign}),
        (SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": foreign}),
        (DELETE, {"id": foreign}),
    ]
    sandbox.clear_calls()
    for document, value in asked:
        assert codes(payload(gateway, token, document, value)) == ["NOT_FOUND"]
    assert upstream(sandbox) == {}
    unknown = payload(gateway, token, ADD, adding(caselle_card(sandbox), "cus_nobody"))
    known = payload(gateway, token, ADD, adding(caselle_card(sandbox), "cus_sam"))
    assert unknown["userErrors"] == known["userErrors"]


@pytest.mark.parametrize(
    ("document", "value", "scope"),
    [
        (UPDATE, {"id": "pm_x"}, WRITE),
        (SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": "pm_x"}, WRITE),
        (DELETE, {"id": "pm_x"}, WRITE),
        (
            LINK,
            {"customerId": "cus_kim", "idempotencyKey": new_key(), "provider": "CASELLE", "customerRef": "x"},
            "links:write",
        ),
        (UNLINK, {"customerId": "cus_sam", "provider": "CASELLE", "reason": "none"}, "links:write"),
        (
            ERASE,
            {"customerId": "cus_sam", "idempotencyKey": new_key(), "confirmExternalId": "user-88421"},
            "customers:erase",
        ),
    ],
)
def test_without_its_scope_a_mutation_does_nothing(
    gateway: RunningGateway, sandbox: RunningSandbox, document: str, value: dict[str, Any], scope: str
) -> None:
    sandbox.clear_calls()
    headers = {"authorization": f"Bearer {gateway.token(READ)}"}
    reply = gateway.query(document, {"input": value}, headers=headers)
    assert list(reply.data.values()) == [None]
    assert [error["extensions"].get("requiresAnyOf") for error in reply.errors] == [[scope]]
    assert upstream(sandbox) == {}


def test_a_key_belongs_to_its_caller(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = adding(caselle_card(sandbox))
    staff = run(gateway, ADD, value)
    token = gateway.token([WRITE, *READ], "cus_alex")
    other = payload(gateway, token, ADD, value | {"method": caselle_card(sandbox)})
    assert other["userErrors"] == []
    assert other["paymentMethod"]["id"] != staff["paymentMethod"]["id"]


def test_an_end_user_makes_no_links(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    token = gateway.token(["links:write", "links:read", *READ], "cus_kim")
    value = {"customerId": "cus_kim", "idempotencyKey": new_key(), "provider": "CASELLE", "customerRef": "cus_88421"}
    sandbox.clear_calls()
    reply = gateway.query(LINK, {"input": value}, headers={"authorization": f"Bearer {token}"})
    assert (reply.data, reply.codes) == ({"linkProviderCustomer": None}, ["FORBIDDEN"])
    assert upstream(sandbox) == {}


def test_a_partner_with_grants_makes_no_links_and_no_imports(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    """Added like this by an older release: it would link another person's vault customer to its own, and read the
    cards.
    """
    partner = PartnerApp(
        gateway,
        "linker",
        scopes=["links:write", "import:write", *READ],
        granted=["cus_kim"],
        documents={"link": LINK, "unlink": UNLINK, "import": IMPORT, "who": "{ viewer { scopes } }"},
    )
    link = {"customerId": "cus_kim", "idempotencyKey": new_key(), "provider": "CASELLE", "customerRef": "cus_88421"}
    row = {"provider": "CASELLE", "customerRef": "cus_88421", "externalId": "user-kim"}
    sandbox.clear_calls()
    for name, root, value in (
        ("link", "linkProviderCustomer", link),
        ("unlink", "unlinkProviderCustomer", {"customerId": "cus_kim", "provider": "LOANPRO", "reason": "none"}),
        ("import", "importPaymentMethods", {"rows": [row], "idempotencyKey": new_key()}),
    ):
        reply = partner.ask({"input": value}, documentId=name)
        assert (reply.data, reply.codes) == ({root: None}, ["FORBIDDEN"])
    assert partner.ask(documentId="who").data["viewer"]["scopes"] == sorted(READ)
    assert upstream(sandbox) == {}
