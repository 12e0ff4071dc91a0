"""The data of the demo customers, field by field and by each kind of id."""

from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query, lexicographic_sort_schema, print_schema

from app.sandbox.aloha.demo import ODD, UNLINKED
from app.sandbox.demo import LOAD_CUSTOMERS, load_customer
from app.vault.enums import CustomerRef, LinkProof, MethodRef, ProviderName
from app.wallet.ids import Ids
from resolvers.schema import schema
from tests.support.gateway import KEYS, RunningGateway
from tests.support.gateways import StartGateway, patient, sources
from tests.support.sandbox import RunningSandbox

ALL_OK = dict.fromkeys(("LOANPRO", "ALOHA", "JPMORGAN", "CASELLE"), "OK")
WALLET = """query Wallet($id: ID!) { customer(id: $id) {
  id externalId name email isComplete authStatus
  authSummary { status basis { label } challengePending { id } isComplete }
  defaultMethod { id label provider } defaultMethodInfo { state reason setAt setBy providerDefaults { provider label } }
  links { provider customerRef }
  paymentMethods {
    __typename id provider kind status label last4 holderName isDefault isProviderDefault isSecondary authStatus etag
    capabilities isStale asOf groupKey nickname possibleDuplicates { id provider } providerRef customer { id }
    billingAddress { line1 city region postalCode country }
    ... on Card { brand expiry expiryState tokenType funding bin threeDSecure { status rawStatus authenticatedAt } }
    ... on BankAccount { rail accountType bankName verification }
  }
  sources { provider state methodCount skippedCount truncated isStale fetchedAt latencyMs }
} }"""


def wallet(gateway: RunningGateway, customer_id: str) -> Any:
    return gateway.data(WALLET, id=customer_id)["customer"]


def by_label(methods: list[Any], provider: str) -> dict[str, Any]:
    return {one["label"]: one for one in methods if one["provider"] == provider}


def test_alex_is_linked_everywhere(demo_gateway: RunningGateway) -> None:
    alex = wallet(demo_gateway, "cus_alex")
    assert {name: alex[name] for name in ("id", "externalId", "name", "email", "isComplete")} == {
        "id": "cus_alex",
        "externalId": "user-88420",
        "name": "Alex Morales",
        "email": "alex@example.com",
        "isComplete": True,
    }
    assert sources(alex) == ALL_OK
    assert [(row["methodCount"], row["skippedCount"], row["isStale"]) for row in alex["sources"]] == [
        (2, 0, False),
        (2, 0, False),
        (3, 0, False),
        (2, 0, False),
    ]
    methods = alex["paymentMethods"]
    assert {one["provider"] for one in methods if one["__typename"] == "Card"} == set(ALL_OK)
    assert {one["provider"] for one in methods if one["__typename"] == "BankAccount"} == {"LOANPRO", "CASELLE"}
    assert [one["provider"] for one in methods if one["isProviderDefault"]] == ["LOANPRO", "JPMORGAN", "CASELLE"]
    assert {one["isProviderDefault"] for one in methods if one["provider"] == "ALOHA"} == {None}
    assert {one["provider"] for one in methods if one["status"] == "EXPIRED"} == {"ALOHA"}
    assert all(one["customer"] == {"id": "cus_alex"} for one in methods)


def test_alex_has_one_default_and_it_is_explained(demo_gateway: RunningGateway) -> None:
    alex = wallet(demo_gateway, "cus_alex")
    assert alex["defaultMethod"] == {
        "id": alex["paymentMethods"][0]["id"],
        "label": "Visa ending 1111",
        "provider": "LOANPRO",
    }
    assert [one["isDefault"] for one in alex["paymentMethods"]] == [True] + [False] * 8
    info = alex["defaultMethodInfo"]
    assert (info["state"], info["reason"], info["setAt"], info["setBy"]) == (
        "RESOLVED",
        "PROVIDER_PRECEDENCE",
        None,
        None,
    )
    assert [one["provider"] for one in info["providerDefaults"]] == ["LOANPRO", "JPMORGAN", "CASELLE"]
    assert alex["authStatus"] == "NOT_APPLICABLE"
    assert alex["authSummary"] == {
        "status": "NOT_APPLICABLE",
        "basis": {"label": "Visa ending 1111"},
        "challengePending": [],
        "isComplete": True,
    }


def test_alexs_cards(demo_gateway: RunningGateway) -> None:
    methods = wallet(demo_gateway, "cus_alex")["paymentMethods"]
    aloha, jpmorgan = by_label(methods, "ALOHA"), by_label(methods, "JPMORGAN")
    expired = aloha["Mastercard ending 7890"]
    assert (expired["status"], expired["expiry"], expired["expiryState"]) == ("EXPIRED", "2017-12", "EXPIRED")
    assert "PAY" not in expired["capabilities"]
    authenticated = jpmorgan["Visa ending 1111"]
    assert (authenticated["authStatus"], authenticated["expiry"]) == ("AUTHENTICATED", "2030-03")
    assert authenticated["threeDSecure"] == {
        "status": "AUTHENTICATED",
        "rawStatus": "SUCCESS",
        "authenticatedAt": "2025-08-14T10:43:52.100000Z",
    }
    assert {jpmorgan[name]["authStatus"] for name in ("Mastercard ending 9999", "Discover ending 0919")} == {
        "NOT_PERFORMED"
    }
    assert {one["expiryState"] for one in jpmorgan.values()} == {"VALID"}


def test_one_look_alike_in_two_vaults(demo_gateway: RunningGateway) -> None:
    methods = wallet(demo_gateway, "cus_alex")["paymentMethods"]
    alike = {one["id"]: one for one in methods if one["possibleDuplicates"]}
    assert sorted(one["provider"] for one in alike.values()) == ["ALOHA", "LOANPRO"]
    first, second = alike.values()
    assert first["possibleDuplicates"] == [{"id": second["id"], "provider": second["provider"]}]
    assert first["groupKey"] == second["groupKey"] != None  # noqa: E711
    assert len({one["groupKey"] for one in methods}) == len(methods) - 1


def test_sam_is_linked_at_three_and_was_denied(demo_gateway: RunningGateway) -> None:
    sam = wallet(demo_gateway, "cus_sam")
    assert sources(sam) == {**ALL_OK, "ALOHA": "NOT_LINKED"}
    assert sam["isComplete"] is True
    assert {link["provider"] for link in sam["links"]} == {"LOANPRO", "JPMORGAN", "CASELLE"}
    denied = by_label(sam["paymentMethods"], "JPMORGAN")["Visa ending 1881"]
    assert (denied["authStatus"], denied["threeDSecure"]["rawStatus"]) == ("FAILED", "DENIED")
    assert denied["status"] == "ACTIVE", "a failed authentication is no reason to hide a card"


def test_kim_is_linked_nowhere(demo_gateway: RunningGateway) -> None:
    kim = wallet(demo_gateway, "cus_kim")
    assert kim["paymentMethods"] == []
    assert kim["links"] == []
    assert sources(kim) == dict.fromkeys(ALL_OK, "NOT_LINKED")
    assert (kim["defaultMethod"], kim["defaultMethodInfo"]["state"]) == (None, "NONE")
    assert (kim["authStatus"], kim["isComplete"]) == ("NOT_APPLICABLE", True)


def test_the_load_customers_hold_ten_methods_each(demo_gateway: RunningGateway) -> None:
    """All 200, as scripts rely on them: active and readable at every vault, and distinct from what tests add."""
    ids = [load_customer(number).id for number in range(1, LOAD_CUSTOMERS + 1)]
    assert (ids[0], ids[-1], len(ids)) == ("cus_load-0001", "cus_load-0200", 200)
    query = """query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Customer {
      id paymentMethods { id provider status last4 label kind ... on Card { brand expiryState } }
      sources { state skippedCount } } } }"""
    read = [one for start in (0, 100) for one in demo_gateway.data(query, ids=ids[start : start + 100])["nodes"]]
    assert [one["id"] for one in read] == ids
    for one in read:
        methods = one["paymentMethods"]
        assert len(methods) == 10, one["id"]
        assert {method["provider"] for method in methods} == set(ALL_OK), one["id"]
        assert {method["status"] for method in methods} == {"ACTIVE"}, one["id"]
        assert {method.get("expiryState", "VALID") for method in methods} == {"VALID"}, one["id"]
        assert all(row == {"state": "OK", "skippedCount": 0} for row in one["sources"]), one["id"]
    everything = [method for one in read for method in one["paymentMethods"]]
    assert len({method["id"] for method in everything}) == 2000
    faces = {(method.get("brand"), method["last4"]) for method in everything}
    assert not faces & {("VISA", "4242"), ("VISA", "3478"), ("MASTERCARD", "4321"), (None, "6789")}


def test_a_customer_is_found_by_either_key(demo_gateway: RunningGateway) -> None:
    query = "query ($by: CustomerBy!) { findCustomer(by: $by) { id } }"
    refs = {
        "LOANPRO": "37",
        "ALOHA": "82c6fdcb-534f-415a-9e28-87be989e461f",
        "JPMORGAN": "PACJGQ",
        "CASELLE": "cus_88420",
    }
    for provider, ref in refs.items():
        by = {"providerRef": {"provider": provider, "customerRef": ref}}
        assert demo_gateway.data(query, by=by) == {"findCustomer": {"id": "cus_alex"}}
    assert demo_gateway.data(query, by={"externalId": "user-88421"}) == {"findCustomer": {"id": "cus_sam"}}
    for nobody in ({"externalId": "user-1"}, {"providerRef": {"provider": "ALOHA", "customerRef": "37"}}):
        assert demo_gateway.data(query, by=nobody) == {"findCustomer": None}
    both = demo_gateway.query(query, {"by": {"externalId": "user-88421", "providerRef": None}})
    assert both.codes == ["BAD_USER_INPUT"]


def test_ids_are_opaque_and_stable(demo_gateway: RunningGateway) -> None:
    methods = wallet(demo_gateway, "cus_alex")["paymentMethods"]
    assert all(one["id"].startswith("pm_") and one["providerRef"] not in one["id"] for one in methods)
    assert [one["id"] for one in wallet(demo_gateway, "cus_alex")["paymentMethods"]] == [one["id"] for one in methods]


def test_tampered_and_foreign_ids_are_null_without_an_error(
    demo_gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    good = wallet(demo_gateway, "cus_alex")["paymentMethods"][0]["id"]
    key = KEYS["id_key"]
    alex, nobody = CustomerRef("37"), CustomerRef("39")
    place = next(
        one.method_ref
        for one in [demo_gateway.gateway.ids.decode(good)]
        if one is not None and one.customer_ref == alex
    )
    assert Ids(key).encode(ProviderName.LOANPRO, alex, place) == good
    foreign = [
        Ids("another key " * 4).encode(ProviderName.LOANPRO, alex, place),
        Ids(key, tenant="another").encode(ProviderName.LOANPRO, alex, place),
        Ids(key).encode(ProviderName.LOANPRO, nobody, place),  # exists there but is not linked
        Ids(key).encode(ProviderName.LOANPRO, alex, MethodRef("99999")),
        Ids(key).encode(ProviderName.CASELLE, alex, place),
    ]
    tampered = [good[:-1], good + "A", "pm_", "pm_" + "A" * 40, *(_flipped(good, at) for at in range(3, len(good), 5))]
    wrong = [*foreign, *tampered, "cus_nobody", "", "op_01ARZ3NDEKTSV4RRFFQ69G5FAV", "37", "cus_" + "x" * 3000]
    sandbox.clear_calls()
    query = "query ($id: ID!) { paymentMethod(id: $id) { id } node(id: $id) { id } customer(id: $id) { id } }"
    for one in wrong:
        assert demo_gateway.data(query, id=one) == {"paymentMethod": None, "node": None, "customer": None}, one
    assert demo_gateway.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[*wrong, good])["nodes"] == [
        *([None] * len(wrong)),
        {"id": good},
    ]


def _flipped(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def test_ids_of_another_gateway_mean_nothing_here(demo_gateway: RunningGateway, start_gateway: StartGateway) -> None:
    other = start_gateway(**patient(), id_key="some other gateway's key " * 2)
    theirs = wallet(other, "cus_alex")["paymentMethods"][0]["id"]
    assert demo_gateway.data("query ($id: ID!) { paymentMethod(id: $id) { id } }", id=theirs) == {"paymentMethod": None}


def test_entities_of_a_federated_graph(demo_gateway: RunningGateway) -> None:
    methods = {one["__typename"]: one["id"] for one in wallet(demo_gateway, "cus_alex")["paymentMethods"]}
    data = demo_gateway.data(
        """query ($of: [_Any!]!) { _entities(representations: $of) {
             __typename ... on Customer { name } ... on Card { id } ... on BankAccount { id } }
             _service { sdl } }""",
        of=[
            {"__typename": "Customer", "id": "cus_alex"},
            {"__typename": "Card", "id": methods["Card"]},
            {"__typename": "BankAccount", "id": methods["BankAccount"]},
            {"__typename": "Card", "id": methods["BankAccount"]},
            {"__typename": "Customer", "id": "cus_nobody"},
        ],
    )
    assert data["_entities"] == [
        {"__typename": "Customer", "name": "Alex Morales"},
        {"__typename": "Card", "id": methods["Card"]},
        {"__typename": "BankAccount", "id": methods["BankAccount"]},
        None,
        None,
    ]
    assert 'type Customer implements Node @key(fields: "id")' in data["_service"]["sdl"]


def test_orders_and_filters(demo_gateway: RunningGateway) -> None:
    query = """query ($filter: PaymentMethodFilter, $order: PaymentMethodOrder! = DEFAULT_FIRST, $first: Int! = 100) {
      customer(id: "cus_alex") {
        paymentMethods(filter: $filter, orderBy: $order, first: $first) { provider status kind } } }"""

    def asked(**variables: Any) -> list[Any]:
        found: list[Any] = demo_gateway.data(query, **variables)["customer"]["paymentMethods"]
        return found

    assert len(asked(first=3)) == 3
    assert {one["kind"] for one in asked(filter={"kinds": ["BANK_ACCOUNT"]})} == {"BANK_ACCOUNT"}
    assert [one["provider"] for one in asked(filter={"statuses": ["EXPIRED"]})] == ["ALOHA"]
    assert [one["provider"] for one in asked(filter={"statuses": ["INACTIVE"]})] == ["LOANPRO"], "its deleted card"
    assert all(one["status"] == "ACTIVE" for one in asked(filter={"usableFor": "PAY"}))
    assert asked(filter={"expiringWithinDays": 1}) == []
    providers = [one["provider"] for one in asked(order="PROVIDER")]
    assert providers == sorted(providers, key=list(ALL_OK).index)
    for wrong in ({"first": 0}, {"first": 1001}, {"filter": {"expiringWithinDays": -1}}):
        assert demo_gateway.query(query, wrong).codes == ["BAD_USER_INPUT"], wrong


SWITCHES = [
    ("loanpro", "LINK_RESPONSE", "expanded_newest_last"),
    ("loanpro", "LINK_RESPONSE", "expanded_newest_first"),
    ("loanpro", "FLAGS", "strings"),
    ("loanpro", "TOKEN_ECHO", "decoded"),
    ("loanpro", "TOKEN_ECHO", "none"),
    ("aloha", "PAYMENTS_SHAPE", "single_or_array"),
    ("aloha", "EMPTY_PAYMENTS", "empty_array"),
    ("caselle", "LIST_SHAPE", "wrapped"),
    ("caselle", "DEFAULT_MARKER", "list"),
    ("caselle", "DEFAULT_MARKER", "customer"),
]


@pytest.mark.parametrize(("provider", "name", "value"), SWITCHES)
def test_every_variant_of_an_ambiguous_shape_gives_the_same_result(
    provider: str, name: str, value: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    ids = ["cus_alex", "cus_sam", "cus_load-0007"]
    before = [_timeless(wallet(gateway, one)) for one in ids]
    sandbox.switch(provider, name, value)
    assert [_timeless(wallet(gateway, one)) for one in ids] == before


def test_one_saved_payment_in_every_shape(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    """Aloha's help page shows one object where a list was observed."""
    gateway = start_gateway(**patient())
    gateway.on_loop(_link(gateway, "cus_kim", ODD))
    before = _timeless(wallet(gateway, "cus_kim"))
    assert [(one["__typename"], one["provider"]) for one in before["paymentMethods"]] == [("Card", "ALOHA")]
    for value in ("single_or_array", "single"):
        sandbox.switch("aloha", "PAYMENTS_SHAPE", value)
        assert _timeless(wallet(gateway, "cus_kim")) == before, value


def test_an_empty_vault_is_read_and_empty_in_both_spellings(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    """Aloha answers for a customer without saved payments with 404 or with an empty list."""
    gateway = start_gateway(**patient())
    gateway.on_loop(_link(gateway, "cus_kim", UNLINKED))
    for value in ("not_found", "empty_array"):
        sandbox.switch("aloha", "EMPTY_PAYMENTS", value)
        kim = wallet(gateway, "cus_kim")
        assert kim["paymentMethods"] == [], value
        assert sources(kim)["ALOHA"] == "OK", value


async def _link(gateway: RunningGateway, customer_id: str, ref: str) -> None:
    await gateway.gateway.store.directory.link(
        customer_id, ProviderName.ALOHA, CustomerRef(ref), proof=LinkProof.TRUSTED_BACKEND, linked_by="test"
    )
    gateway.gateway.directory.drop(customer_id)


def _timeless(value: Any) -> Any:
    """Without the values that differ between reads."""
    if isinstance(value, dict):
        gone = ("asOf", "fetchedAt", "latencyMs")
        return {name: _timeless(inner) for name, inner in value.items() if name not in gone}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def test_the_served_schema_is_the_committed_one(demo_gateway: RunningGateway) -> None:
    served = demo_gateway.data(get_introspection_query())
    ours = build_client_schema(schema.introspect())
    assert print_schema(lexicographic_sort_schema(build_client_schema(served))) == print_schema(
        lexicographic_sort_schema(ours)
    )
