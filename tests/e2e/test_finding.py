"""Finding customers, and methods that expire, over HTTP: filters, pages, rights, cost."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Any

from tests.support.gateway import RunningGateway
from tests.support.partners import PartnerApp
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

FIND = """query Find($filter: CustomerFilter, $first: Int! = 20, $after: String) {
  customers(filter: $filter, first: $first, after: $after) {
    nodes { id } edges { cursor node { id externalId } } pageInfo { hasNextPage hasPreviousPage endCursor } } }"""
EXPIRING = """query Expiring($before: YearMonth!, $since: YearMonth, $first: Int! = 20, $after: String) {
  expiringPaymentMethods(before: $before, since: $since, first: $first, after: $after) {
    nodes { expiry } edges { node { provider paymentMethodId expiry observedAt customer { id } paymentMethod { id } } }
    pageInfo { hasNextPage endCursor } } }"""
FAR = "2999-01"


def found(gateway: RunningGateway, wanted: Any = None, **more: Any) -> list[str]:
    page = gateway.data(FIND, filter=wanted, **more)["customers"]
    ids = [edge["node"]["id"] for edge in page["edges"]]
    assert [one["id"] for one in page["nodes"]] == ids
    return ids


def test_customers_by_each_filter(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    load = [f"cus_load-{number:04d}" for number in range(1, 201)]
    for wanted, expected in (
        ({"email": " ALEX@example.com "}, ["cus_alex"]),
        ({"email": "alex@example"}, []),
        ({"nameContains": "OKAF"}, ["cus_sam"]),
        ({"nameContains": "m l"}, ["cus_kim"]),
        ({"externalIdPrefix": "user-8842"}, ["cus_alex", "cus_sam", "cus_kim"]),
        ({"externalIdPrefix": "user-8842", "linkedAt": "ALOHA"}, ["cus_alex"]),
        ({"linkedAt": "ALOHA", "nameContains": "customer0003"}, ["cus_load-0003"]),
        ({"createdAfter": "2999-01-01T00:00:00Z"}, []),
        ({"email": "alex@example.com", "nameContains": "okafor"}, []),
    ):
        assert found(demo_gateway, wanted) == expected, wanted
    early = "2000-01-01T00:00:00Z"
    for wanted in (None, {"linkedAt": "LOANPRO"}, {"externalIdPrefix": "load-"}, {"createdAfter": early}):
        seen: list[str] = []
        after = None
        while True:
            page = demo_gateway.data(FIND, filter=wanted, first=90, after=after)["customers"]
            seen += [one["id"] for one in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert len(seen) == len(set(seen)), wanted
        assert set(seen) >= set(load), wanted
        assert page["pageInfo"]["hasPreviousPage"] is True
    created = demo_gateway.data('{ customer(id: "cus_alex") { createdAt } }')["customer"]["createdAt"]
    for after, is_found in ((datetime.fromisoformat(created) - timedelta(microseconds=1), True), (created, False)):
        wanted = {"createdAfter": str(after).replace(" ", "T"), "email": "alex@example.com"}
        assert found(demo_gateway, wanted) == ["cus_alex"][:is_found]
    assert sandbox.calls() == [], "the directory answered"
    reply = demo_gateway.query("{ customers(first: 2) { nodes { id paymentMethods { id } sources { state } } } }")
    assert reply.body["extensions"]["cost"]["requested"] == 8
    assert all(one["sources"] for one in reply.data["customers"]["nodes"])
    reply = demo_gateway.query("{ customers(first: 100) { nodes { id name links { provider } } } }")
    assert reply.body["extensions"]["cost"]["requested"] < 8, "no vault is read for these"


def test_wrong_filters_and_cursors_are_refused(demo_gateway: RunningGateway) -> None:
    for wanted in (
        {"email": " "},
        {"email": "x" * 321},
        {"nameContains": "x"},
        {"externalIdPrefix": ""},
        {"nameContains": "x" * 101},
    ):
        reply = demo_gateway.query(FIND, {"filter": wanted})
        assert (reply.codes, reply.data) == (["BAD_USER_INPUT"], {"customers": None}), wanted
    for first in (0, 101, -1):
        assert demo_gateway.query(FIND, {"first": first}).codes == ["BAD_USER_INPUT"]
        assert demo_gateway.query(EXPIRING, {"first": first, "before": FAR}).codes == ["BAD_USER_INPUT"]
    cursor = demo_gateway.data(FIND, first=1)["customers"]["pageInfo"]["endCursor"]
    plain = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()

    def hostile(text: str) -> str:
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    assert hostile(plain) == cursor
    late = "2999-01-01T00:00:00Z"
    for text, wanted in (
        ("customer:id|", None),
        ("customer:id|||", None),
        ("customer:granted||cus_alex|", None),
        (plain, {"email": "alex@example.com"}),
        ("customer:external_id_prefix||cus_alex|user-1", {"externalIdPrefix": "user-8"}),
        ("customer:created_after||cus_alex|", {"createdAfter": late}),
        ("customer:created_after|2000-01-01T00:00:00+00:00|cus_alex|", {"createdAfter": late}),
        ("customer:created_after|now|cus_alex|", {"createdAfter": late}),
        ("method:0", None),
    ):
        assert demo_gateway.query(FIND, {"after": hostile(text), "filter": wanted}).codes == ["BAD_USER_INPUT"], text
    assert found(demo_gateway, after=hostile("customer:id||x\x00|")) == []
    for text in ("expiry:2030-01", "expiry:2030-01.pm_x", "expiry:.", "customer:id||a|"):
        assert demo_gateway.query(EXPIRING, {"after": hostile(text), "before": FAR}).codes == ["BAD_USER_INPUT"], text


def test_callers_find_only_the_customers_that_they_may_see(demo_gateway: RunningGateway) -> None:
    granted = ["cus_sam", "cus_load-0002", "cus_load-0001", "cus_kim"]
    documents = {"find": FIND, "expiring": EXPIRING}
    some = PartnerApp(demo_gateway, "some", granted=granted, documents=documents)
    none = PartnerApp(demo_gateway, "none", granted=[], documents=documents)
    every = PartnerApp(demo_gateway, "every", documents=documents)
    sam = {"authorization": f"Bearer {demo_gateway.token(customer='cus_sam')}"}
    for customer in ("cus_alex", "cus_sam"):
        demo_gateway.data("query ($id: ID!) { customer(id: $id) { paymentMethods { id } } }", id=customer)
    observed = demo_gateway.gateway.store.observed_methods
    for customer in ("cus_alex", "cus_sam"):
        eventually(lambda customer=customer: demo_gateway.on_loop(observed.of_customer(customer)), customer)

    def ids(reply: Any) -> list[str]:
        return [one["id"] for one in reply.data["customers"]["nodes"]]

    def owners(reply: Any) -> set[str]:
        return {one["node"]["customer"]["id"] for one in reply.data["expiringPaymentMethods"]["edges"]}

    month = {"before": FAR, "since": "2000-01", "first": 100}
    assert ids(some.ask(documentId="find")) == sorted(granted)
    page = some.ask({"first": 3}, documentId="find").data["customers"]["pageInfo"]
    assert page["hasNextPage"] is True
    assert ids(some.ask({"first": 3, "after": page["endCursor"]}, documentId="find")) == ["cus_sam"]
    assert ids(some.ask({"filter": {"email": "alex@example.com"}}, documentId="find")) == []
    assert ids(some.ask({"filter": {"nameContains": "okafor"}}, documentId="find")) == ["cus_sam"]
    refused = some.ask({"filter": {"linkedAt": "LOANPRO"}}, documentId="find")
    assert refused.codes == ["FORBIDDEN"], "a partner without links:read"
    assert ids(none.ask(documentId="find")) == []
    assert ids(every.ask({"filter": {"email": "alex@example.com"}}, documentId="find")) == ["cus_alex"]
    assert ids(demo_gateway.query(FIND, headers=sam)) == ["cus_sam"]
    assert owners(some.ask(month, documentId="expiring")) == {"cus_sam"}
    assert owners(none.ask(month, documentId="expiring")) == set()
    assert owners(demo_gateway.query(EXPIRING, month, headers=sam)) == {"cus_sam"}
    assert owners(every.ask(month, documentId="expiring")) == {"cus_alex", "cus_sam"}


def test_expiring_methods_as_observed(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    assert demo_gateway.data(EXPIRING, before=FAR)["expiringPaymentMethods"]["edges"] == [], "nothing was read yet"
    cards = """{ customer(id: "cus_alex") { paymentMethods { id ... on Card { expiry expiryState } } } }"""
    shown = demo_gateway.data(cards)["customer"]["paymentMethods"]
    valid = {one["id"]: one["expiry"] for one in shown if one.get("expiry") and one["expiryState"] != "EXPIRED"}
    expired = {one["id"]: one["expiry"] for one in shown if one.get("expiryState") == "EXPIRED"}
    assert len(valid) > 2
    assert expired

    def walk(**how: Any) -> dict[str, str]:
        seen: list[Any] = []
        after = None
        while True:
            page = demo_gateway.data(EXPIRING, first=1, after=after, **how)["expiringPaymentMethods"]
            seen += [edge["node"] for edge in page["edges"]]
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        assert [one["expiry"] for one in seen] == sorted(one["expiry"] for one in seen)
        assert all(one["observedAt"] and one["customer"] == {"id": "cus_alex"} for one in seen)
        assert all(one["paymentMethod"]["id"] == one["paymentMethodId"] for one in seen)
        return {one["paymentMethodId"]: one["expiry"] for one in seen}

    eventually(lambda: walk(before=FAR) == valid, "every vault's list was observed")
    assert walk(before=FAR, since="2000-01") == valid | expired
    second = sorted(valid.values())[1]
    assert walk(before=second) == {key: month for key, month in valid.items() if month < second}
    sandbox.clear_calls()
    bare = '{ expiringPaymentMethods(before: "2999-01") { nodes { paymentMethodId customer { name } } } }'
    assert demo_gateway.data(bare)["expiringPaymentMethods"]["nodes"]
    assert sandbox.calls() == []
