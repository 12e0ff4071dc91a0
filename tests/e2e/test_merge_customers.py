"""Merging two customers over HTTP: what moves, what is refused, and what the former id answers."""

from typing import Any

import pytest

from app.store import Transaction
from app.store.records import EventType
from app.store.statements import Statement
from tests.support.adding import new_key
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, each_vault, upstream
from tests.support.mutating import CREATE, ERASE, MERGE, SET_DEFAULT, UNLINK, UPDATE, codes, ids, methods, run
from tests.support.sandbox import RunningSandbox
from tests.support.streams import listening, until_joined

SETTINGS = each_vault(fresh_for_s=60)
CUSTOMER = "query ($id: ID!) { customer(id: $id) { id externalId name links { provider } paymentMethods { id } } }"
FIND = "query ($key: ID!) { findCustomer(by: { externalId: $key }) { id } }"
STATE = Statement(
    "UPDATE operations SET state = :state, reconcile_at = :reconcile_at"
    " WHERE tenant = :tenant AND mutation = 'updatePaymentMethod'"
)
EVENTS = "query ($id: ID!) { customer(id: $id) { events(first: 100) { edges { node { id type } } } } }"


def merging(**more: Any) -> dict[str, Any]:
    return {"fromId": "cus_alex", "intoId": "cus_kim", "idempotencyKey": new_key(), **more}


def as_user(gateway: RunningGateway, customer: str) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.token(customer=customer)}"}


def choose(gateway: RunningGateway, customer: str, number: int = -1) -> str:
    method = str(methods(gateway, "LOANPRO", customer)[number]["id"])
    assert run(gateway, SET_DEFAULT, {"customerId": customer, "paymentMethodId": method})["userErrors"] == []
    return method


def test_everything_moves_and_the_former_id_says_where(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**SETTINGS)
    chosen = choose(gateway, "cus_alex")
    assert run(gateway, UPDATE, {"id": chosen, "nickname": "Blue"})["userErrors"] == []
    owned = {one["id"] for one in methods(gateway)}
    events = ids([edge["node"] for edge in gateway.data(EVENTS, id="cus_alex")["customer"]["events"]["edges"]])
    sandbox.clear_calls()
    value = merging(reason="The same person.")
    done = run(gateway, MERGE, value)
    assert done["userErrors"] == []
    assert set(upstream(sandbox).values()) == {1}, "no vault is called but to show the methods"
    shown = done["customer"]
    assert (shown["id"], shown["externalId"], shown["name"]) == ("cus_kim", "user-88422", "Kim Larsen")
    assert {one["id"] for one in shown["paymentMethods"]} == owned
    assert shown["defaultMethod"]["id"] == chosen
    assert [one["nickname"] for one in shown["paymentMethods"] if one["id"] == chosen] == ["Blue"]
    rows = [edge["node"] for edge in done["operation"]["results"]["edges"]]
    assert sorted(row["provider"] for row in rows) == sorted(link["provider"] for link in shown["links"])
    moved = gateway.data(EVENTS, id="cus_kim")["customer"]["events"]["edges"]
    assert set(events) <= set(ids([edge["node"] for edge in moved]))
    assert "DEFAULT_CHANGED" in [edge["node"]["type"] for edge in moved[:6]]

    again = run(gateway, MERGE, value)
    assert (again["operation"]["replayed"], again["userErrors"], again["customer"]) == (True, [], shown)
    former = gateway.query(CUSTOMER, {"id": "cus_alex"})
    assert (former.data["customer"], former.codes) == (None, ["CUSTOMER_MERGED"])
    assert former.errors[0]["extensions"]["mergedInto"] == "cus_kim"
    unseen = gateway.query(CUSTOMER, {"id": "cus_alex"}, headers=as_user(gateway, "cus_sam"))
    assert (unseen.data["customer"], unseen.codes) == (None, [])
    assert gateway.data(FIND, key="user-88420") == {"findCustomer": {"id": "cus_kim"}}
    taken = run(
        gateway, CREATE, {"externalId": "user-88420", "idempotencyKey": new_key(), "name": {"first": "A", "last": "B"}}
    )
    assert codes(taken) == ["DUPLICATE"]
    stale = run(
        gateway, ERASE, {"customerId": "cus_alex", "idempotencyKey": new_key(), "confirmExternalId": "user-88420"}
    )
    assert codes(stale) == ["NOT_FOUND"]
    audit = gateway.on_loop(gateway.gateway.store.events.after(None, types=[EventType.MUTATION], limit=1_000))
    (entry,) = (one for one in audit if one.detail["mutation"] == "mergeCustomers")
    assert (entry.customer_id, entry.detail["reason"]) == ("cus_kim", "The same person.")


def test_conflicts_are_named_and_nothing_is_half_merged(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**SETTINGS)
    mine, theirs = choose(gateway, "cus_alex"), choose(gateway, "cus_sam")
    before = [gateway.data(CUSTOMER, id=one) for one in ("cus_alex", "cus_sam")]
    both = {link["provider"] for link in before[0]["customer"]["links"]} & {
        link["provider"] for link in before[1]["customer"]["links"]
    }
    refused = run(gateway, MERGE, merging(intoId="cus_sam"))
    assert codes(refused) == ["LINK_CONFLICT"] * len(both) + ["DEFAULT_REQUIRED"]
    assert [error["path"] for error in refused["userErrors"]][-2:] == [["input", "fromId"], ["input", "keepDefaultOf"]]
    assert (refused["operation"], refused["customer"]) == (None, None)
    assert [gateway.data(CUSTOMER, id=one) for one in ("cus_alex", "cus_sam")] == before

    for provider in both - {"LOANPRO"}:
        run(gateway, UNLINK, {"customerId": "cus_sam", "provider": provider, "reason": "Test"})
    store = gateway.gateway.store
    assert codes(run(gateway, MERGE, merging(intoId="cus_sam"))) == ["LINK_CONFLICT", "DEFAULT_REQUIRED"]
    for into, code in (("cus_alex", "INVALID_INPUT"), ("cus_nobody", "NOT_FOUND")):
        (error,) = run(gateway, MERGE, merging(intoId=into))["userErrors"]
        assert (error["code"], error["path"]) == (code, ["input", "intoId"])
    run(gateway, UNLINK, {"customerId": "cus_sam", "provider": "LOANPRO", "reason": "Test"})
    assert theirs != mine
    assert gateway.on_loop(store.directory.choice("cus_sam")) is None, "unlinking removed it"
    assert codes(run(gateway, MERGE, merging(intoId="cus_sam"))) == []


@pytest.mark.parametrize(("keep", "kept"), [("FROM", "cus_alex"), ("INTO", "cus_sam")])
def test_the_caller_says_whose_default_stays(
    start_gateway: StartGateway, sandbox: RunningSandbox, keep: str, kept: str
) -> None:
    gateway = start_gateway(**SETTINGS)
    for customer, left in (("cus_alex", "LOANPRO"), ("cus_sam", "CASELLE")):
        for link in gateway.data(CUSTOMER, id=customer)["customer"]["links"]:
            if link["provider"] != left:
                run(gateway, UNLINK, {"customerId": customer, "provider": link["provider"], "reason": "Test"})
    chosen = {one: methods(gateway, customer=one)[-1]["id"] for one in ("cus_alex", "cus_sam")}
    for customer, method in chosen.items():
        run(gateway, SET_DEFAULT, {"customerId": customer, "paymentMethodId": method})
    assert codes(run(gateway, MERGE, merging(intoId="cus_sam"))) == ["DEFAULT_REQUIRED"]
    done = run(gateway, MERGE, merging(intoId="cus_sam", keepDefaultOf=keep))
    assert codes(done) == []
    assert done["customer"]["defaultMethod"]["id"] == chosen[kept]
    assert set(chosen.values()) <= set(ids(done["customer"]["paymentMethods"]))


def test_an_undecided_write_is_waited_for(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    """The same key merges once the write is decided."""
    gateway = start_gateway(**SETTINGS)
    store = gateway.gateway.store
    run(gateway, UPDATE, {"id": methods(gateway, "LOANPRO")[0]["id"], "nickname": "Blue"})
    later = store.now().replace(year=2099)
    gateway.on_loop(store.transaction(Transaction.execute, STATE, state="UNKNOWN", reconcile_at=later))
    value = merging()
    refused = run(gateway, MERGE, value)
    assert [(error["code"], error["retryable"]) for error in refused["userErrors"]] == [
        ("IDEMPOTENCY_IN_PROGRESS", True)
    ]
    gateway.on_loop(store.transaction(Transaction.execute, STATE, state="SUCCEEDED", reconcile_at=None))
    assert codes(run(gateway, MERGE, value)) == []


def test_replicas_forget_the_former_customer_and_its_streams_end(
    postgres_url: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    settings = {**SETTINGS, "store": {"url": postgres_url}}
    one, other = start_gateway(**settings), start_gateway(**settings)
    before = other.data(CUSTOMER, id="cus_alex")["customer"]
    assert other.data(CUSTOMER, id="cus_kim")["customer"]["paymentMethods"] == []
    with listening(other, customer="cus_alex") as alex, listening(other, customer="cus_kim") as kim:
        until_joined(other, 2)
        assert codes(run(one, MERGE, merging())) == []
        ended = alex.message()
        found = ended["payload"].get("errors") or [] if isinstance(ended["payload"], dict) else ended["payload"]
        assert [error["extensions"]["code"] for error in found] == ["CUSTOMER_MERGED"], ended
        assert kim.next()["type"] in ("LINK_CHANGED", "DEFAULT_CHANGED")
        # The event was delivered, so this replica knows of the change.
        assert other.query(CUSTOMER, {"id": "cus_alex"}).codes == ["CUSTOMER_MERGED"]
        after = other.data(CUSTOMER, id="cus_kim")["customer"]
        assert (after["links"], after["paymentMethods"]) == (before["links"], before["paymentMethods"])


def test_an_end_user_cannot_merge(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**SETTINGS)
    reply = gateway.query(MERGE, {"input": merging()}, headers=as_user(gateway, "cus_alex"))
    assert (reply.data["mergeCustomers"], reply.codes) == (None, ["FORBIDDEN"])
    gateway.on_loop(gateway.gateway.audit.flush())
    audit = gateway.on_loop(gateway.gateway.store.events.after(None, types=[EventType.ACCESS_REFUSED]))
    assert [(entry.outcome, entry.customer_id) for entry in audit] == [("FORBIDDEN", "cus_kim")]
    assert gateway.data(CUSTOMER, id="cus_alex")["customer"]["links"]
