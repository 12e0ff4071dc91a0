"""Setting defaults and deleting over HTTP: the stored default and the vault's flag agree, and the response
is current.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.adding import adding, aloha_connected, caselle_card, loanpro_card
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, each_vault, upstream
from tests.support.mutating import ADD, DELETE, SET_DEFAULT, codes, ids, methods, one, run
from tests.support.sandbox import RunningSandbox

Start = Callable[..., RunningGateway]


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    """One for each test: the gateway stores defaults."""
    return start_gateway(**each_vault(fresh_for_s=0))


def choose(gateway: RunningGateway, method: Any, **more: Any) -> Any:
    return run(gateway, SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": method["id"], **more})


def delete(gateway: RunningGateway, method: Any, **more: Any) -> Any:
    return run(gateway, DELETE, {"id": method["id"], **more})


def good(gateway: RunningGateway, provider: str, place: int = -1) -> Any:
    """An active method of the vault that is not the default there."""
    found = [
        each
        for each in methods(gateway, provider)
        if each["status"] == "ACTIVE" and not each["isProviderDefault"] and each.get("expiryState") != "EXPIRED"
    ]
    return found[place]


def writes(sandbox: RunningSandbox) -> list[str]:
    return [row["provider"] for row in sandbox.calls() if row["method"] != "GET"]


@pytest.mark.parametrize("provider", ["LOANPRO", "JPMORGAN", "CASELLE"])
def test_a_vault_with_defaults_is_updated_first(
    gateway: RunningGateway, sandbox: RunningSandbox, provider: str
) -> None:
    method = good(gateway, provider)
    done = choose(gateway, method)
    assert (done["userErrors"], done["warnings"]) == ([], [])
    assert done["customer"]["defaultMethod"] == {"id": method["id"]}
    assert done["customer"]["defaultMethodInfo"] == {"state": "RESOLVED", "reason": "EXPLICIT_CHOICE"}
    shown = one(gateway, method["id"])
    assert (shown["isDefault"], shown["isProviderDefault"]) == (True, True)
    (held,) = [row for row in sandbox.held(provider.lower(), _ref(provider)) if row["is_default"]]
    assert gateway.gateway.ids.decode(method["id"]).method_ref == held["ref"]  # type: ignore[union-attr]


def test_a_vault_without_defaults_is_not_called_and_a_warning_says_so(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    method = good(gateway, "ALOHA")
    sandbox.clear_calls()
    done = choose(gateway, method)
    assert (done["userErrors"], [each["code"] for each in done["warnings"]]) == ([], ["DEFAULT_NOT_MIRRORED"])
    assert done["customer"]["defaultMethod"] == {"id": method["id"]}
    assert writes(sandbox) == []


def test_the_vaults_default_may_stay_unchanged(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    method = good(gateway, "CASELLE")
    sandbox.clear_calls()
    done = choose(gateway, method, mirrorToProvider=False)
    assert (done["userErrors"], done["customer"]["defaultMethod"]) == ([], {"id": method["id"]})
    assert writes(sandbox) == []
    assert one(gateway, method["id"])["isProviderDefault"] is False


def test_the_previous_default_is_returned(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    first, second = good(gateway, "CASELLE"), good(gateway, "ALOHA")
    choose(gateway, first)
    assert choose(gateway, second)["previousDefault"] == {"id": first["id"]}


def test_an_expired_card_needs_to_be_allowed(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    expired = next(each for each in methods(gateway) if each.get("expiryState") == "EXPIRED")
    sandbox.clear_calls()
    done = choose(gateway, expired)
    assert [(error["code"], error["path"]) for error in done["userErrors"]] == [
        ("METHOD_EXPIRED", ["input", "paymentMethodId"])
    ]
    assert writes(sandbox) == []
    allowed = choose(gateway, expired, allowExpired=True)
    assert (allowed["userErrors"], allowed["customer"]["defaultMethod"]) == ([], {"id": expired["id"]})


@pytest.mark.parametrize("method_id", ["pm_nothing", "cus_alex", "op_01ARZ3NDEKTSV4RRFFQ69G5FAV"])
def test_a_default_must_be_a_method_of_the_customer(
    gateway: RunningGateway, sandbox: RunningSandbox, method_id: str
) -> None:
    sandbox.clear_calls()
    assert codes(choose(gateway, {"id": method_id})) == ["NOT_FOUND"]
    assert upstream(sandbox) == {}


def test_another_customers_method_is_not_found(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    foreign = methods(gateway, "CASELLE", "cus_sam")[0]
    sandbox.clear_calls()
    assert codes(choose(gateway, foreign)) == ["NOT_FOUND"]
    assert upstream(sandbox) == {}


def test_two_at_once_end_in_one_of_the_two(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    token = run(gateway, ADD, adding(caselle_card(sandbox)))["paymentMethod"]
    other = next(each for each in methods(gateway, "CASELLE") if each["id"] != token["id"])
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda method: choose(gateway, method), (token, other)))
    assert [codes(each) for each in done] == [[], []]
    (chosen,) = [each for each in methods(gateway) if each["isDefault"]]
    assert chosen["id"] in ids([token, other])
    (flagged,) = [each for each in methods(gateway, "CASELLE") if each["isProviderDefault"]]
    assert flagged["id"] == chosen["id"]


@pytest.mark.parametrize("provider", ["LOANPRO", "JPMORGAN", "CASELLE"])
def test_deleting_removes_it_from_the_vault_and_the_response(
    gateway: RunningGateway, sandbox: RunningSandbox, provider: str
) -> None:
    method = good(gateway, provider)
    done = delete(gateway, method)
    assert (done["userErrors"], done["deletedId"], done["remainingLookalikes"]) == ([], method["id"], [])
    assert method["id"] not in ids(done["customer"]["paymentMethods"])
    ref = gateway.gateway.ids.decode(method["id"]).method_ref  # type: ignore[union-attr]
    assert ref not in [row["ref"] for row in sandbox.held(provider.lower(), _ref(provider)) if row["active"]]
    again = delete(gateway, method)
    assert (again["userErrors"], again["deletedId"]) == ([], method["id"])


def test_a_deleted_method_is_shown_as_such_where_the_vault_keeps_it(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    method = good(gateway, "LOANPRO")
    delete(gateway, method)
    assert one(gateway, method["id"])["status"] == "DELETED"
    assert method["id"] not in ids(methods(gateway))


def test_aloha_deletes_nothing(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    method = good(gateway, "ALOHA")
    sandbox.clear_calls()
    done = delete(gateway, method)
    assert (codes(done), done["deletedId"]) == (["UNSUPPORTED_BY_PROVIDER"], None)
    assert writes(sandbox) == []


def test_deleting_the_default_may_be_refused_or_replaced(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    default, spare = good(gateway, "CASELLE"), good(gateway, "JPMORGAN")
    choose(gateway, default)
    sandbox.clear_calls()
    refused = delete(gateway, default, ifDefault="REJECT")
    assert [(error["__typename"], error["code"]) for error in refused["userErrors"]] == [
        ("ConflictError", "METHOD_IN_USE")
    ]
    assert writes(sandbox) == []
    done = delete(gateway, default, replacementDefaultId=spare["id"])
    assert done["userErrors"] == []
    assert done["customer"]["defaultMethod"] == {"id": spare["id"]}
    assert default["id"] not in ids(done["customer"]["paymentMethods"])


def test_remaining_lookalikes_of_a_deleted_method_are_returned(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    first = run(gateway, ADD, adding(loanpro_card(sandbox)))["paymentMethod"]
    second = run(gateway, ADD, adding(caselle_card(sandbox)))["paymentMethod"]
    done = delete(gateway, first)
    assert done["remainingLookalikes"] == [{"id": second["id"]}]
    assert one(gateway, second["id"])["possibleDuplicates"] == []


def test_mutations_of_one_request_run_one_after_the_other(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    method, other = good(gateway, "CASELLE"), good(gateway, "JPMORGAN")
    data = gateway.data(
        """mutation ($a: SetDefaultPaymentMethodInput!, $b: SetDefaultPaymentMethodInput!) {
          first: setDefaultPaymentMethod(input: $a) { customer { defaultMethod { id } } }
          second: setDefaultPaymentMethod(input: $b) { previousDefault { id } customer { defaultMethod { id } } } }""",
        a={"customerId": "cus_alex", "paymentMethodId": method["id"]},
        b={"customerId": "cus_alex", "paymentMethodId": other["id"]},
    )
    assert data["first"]["customer"]["defaultMethod"] == {"id": method["id"]}
    assert data["second"] == {
        "previousDefault": {"id": method["id"]},
        "customer": {"defaultMethod": {"id": other["id"]}},
    }


def test_a_snapshot_made_stale_by_a_write_is_not_shown(start_gateway: Start, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=300))
    before = ids(methods(gateway))
    added = run(gateway, ADD, adding(aloha_connected(sandbox)))
    assert set(ids(added["customer"]["paymentMethods"])) == {*before, added["paymentMethod"]["id"]}
    assert set(ids(methods(gateway))) == {*before, added["paymentMethod"]["id"]}


def _ref(provider: str) -> str:
    return {"LOANPRO": "37", "JPMORGAN": "PACJGQ", "CASELLE": "cus_88420"}[provider]
