"""Undocumented replies of vaults, through the gateway over HTTP. Each affects at most its own field."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.gateway import RunningGateway
from tests.support.gateways import PROVIDERS, StartGateway, patient, sources
from tests.support.sandbox import RunningSandbox

WALLET = """{ customer(id: "cus_alex") {
  paymentMethods { __typename id provider kind last4 status capabilities isDefault isProviderDefault
    ... on Card { bin expiry expiryState } ... on OtherMethod { providerKind } }
  inactive: paymentMethods(filter: {statuses: [INACTIVE]}) { id provider statusDetail isDefault }
  defaultMethod { id } defaultMethodInfo { state reason } isComplete
  sources { provider state methodCount skippedCount truncated } } }"""
SET_DEFAULT = """mutation ($input: SetDefaultPaymentMethodInput!) { setDefaultPaymentMethod(input: $input) {
  userErrors { code path } customer { defaultMethod { id } defaultMethodInfo { state reason } } } }"""
QUOTE = (
    """mutation ($input: QuotePaymentInput!) { quotePayment(input: $input) { payment { id } userErrors { code } } }"""
)
LOANPRO_CARD = "/d/results/0/PaymentAccounts/results/*/CreditCard/cardExpiration"
CASELLE_CARD = "/0/payment_method/credit"
JPM_CARDS = "/paymentMethodType/cardList/*"


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway(**patient())


def wallet(gateway: RunningGateway) -> Any:
    return gateway.data(WALLET)["customer"]


def of(customer: Any, provider: str, kind: str = "CARD") -> list[Any]:
    return [one for one in customer["paymentMethods"] if (one["provider"], one["kind"]) == (provider, kind)]


def changed(sandbox: RunningSandbox, provider: str, values: dict[str, Any], path: str = "*") -> None:
    sandbox.fault(provider, "rewrite", method="GET", path=path, set=values)


@pytest.mark.parametrize(
    ("provider", "values", "shown"),
    [
        ("jpmorgan", {f"{JPM_CARDS}/first6CardNumber": ""}, {"bin": None}),
        ("jpmorgan", {f"{JPM_CARDS}/cardExpirationMonthYearNumber": "2/2030"}, {"expiry": "2030-02"}),
        ("jpmorgan", {f"{JPM_CARDS}/last4CardNumber": 7}, {"last4": "0007"}),
        ("caselle", {f"{CASELLE_CARD}/exp_year": 30}, {"expiry": "2030-12"}),
        ("caselle", {f"{CASELLE_CARD}/last4": 4242}, {"last4": "4242"}),
        ("caselle", {f"{CASELLE_CARD}/bin": ""}, {"bin": None}),
        ("caselle", {f"{CASELLE_CARD}/holder_name": 17}, {}),
        ("caselle", {"/0/created_at": {}, "/0/is_default": "Y"}, {"isProviderDefault": True}),
        ("loanpro", {"/d/results/0/PaymentAccounts/results/*/title": ["x"]}, {}),
        ("loanpro", {"/d/results/0/PaymentAccounts/results/*/CreditCard/cardNumber": 4242}, {"last4": "4242"}),
        ("aloha", {"/*/MethodType": {"a": 1}, "/*/ZipCode": 84105}, {}),
    ],
)
def test_a_value_of_another_shape_affects_only_its_field(
    gateway: RunningGateway, sandbox: RunningSandbox, provider: str, values: dict[str, Any], shown: dict[str, Any]
) -> None:
    before = wallet(gateway)
    changed(sandbox, provider, values)
    after = wallet(gateway)
    assert sources(after) == dict.fromkeys(PROVIDERS, "OK")
    assert [row["skippedCount"] for row in after["sources"]] == [0, 0, 0, 0]
    assert [one["id"] for one in after["paymentMethods"]] == [one["id"] for one in before["paymentMethods"]]
    assert (after["defaultMethod"], after["isComplete"]) == (before["defaultMethod"], True)
    for card in of(after, provider.upper()):
        assert {name: card[name] for name in shown} == shown


def test_a_primary_flag_in_words(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    before = wallet(gateway)
    changed(sandbox, "loanpro", {"/d/results/0/PaymentAccounts/results/*/isPrimary": "N"})
    assert {one["isProviderDefault"] for one in wallet(gateway)["paymentMethods"] if one["provider"] == "LOANPRO"} == {
        False
    }
    sandbox.clear_faults()
    changed(sandbox, "loanpro", {"/d/results/0/PaymentAccounts/results/*/isPrimary": "perhaps"})
    after = wallet(gateway)
    assert {one["isProviderDefault"] for one in after["paymentMethods"] if one["provider"] == "LOANPRO"} == {None}
    assert sources(after) == sources(before)


@pytest.mark.parametrize(
    ("spelled", "expiry", "state"),
    [
        ("/Date(1480550400000)/", "2016-12", "EXPIRED"),
        ("/Date(1924905600000)/", "2030-12", "VALID"),
        ("13/2O27", None, "UNKNOWN"),
        ("13/2027", None, "UNKNOWN"),
        ("N/A", None, "UNKNOWN"),
        (None, None, "UNKNOWN"),
    ],
)
def test_an_expiry_that_cannot_be_read_is_chosen_by_no_rule(
    gateway: RunningGateway, sandbox: RunningSandbox, spelled: str | None, expiry: str | None, state: str
) -> None:
    before = wallet(gateway)
    (card,) = of(before, "LOANPRO")
    assert before["defaultMethod"] == {"id": card["id"]}, "LoanPro's default comes first"
    changed(sandbox, "loanpro", {LOANPRO_CARD: spelled})
    after = wallet(gateway)
    (card,) = of(after, "LOANPRO")
    assert (card["expiry"], card["expiryState"]) == (expiry, state)
    is_usable = state == "VALID" or spelled is None
    assert (after["defaultMethod"] == {"id": card["id"]}) == is_usable
    assert after["defaultMethodInfo"]["state"] == "RESOLVED"
    assert sources(after) == dict.fromkeys(PROVIDERS, "OK")


def test_an_unreadable_expiry_can_only_be_chosen_explicitly(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    (card,) = of(wallet(gateway), "CASELLE")
    changed(sandbox, "caselle", {f"{CASELLE_CARD}/exp_year": "2O27"})
    (card,) = of(wallet(gateway), "CASELLE")
    assert (card["expiryState"], "PAY" in card["capabilities"]) == ("UNKNOWN", False)
    given = {"customerId": "cus_alex", "paymentMethodId": card["id"], "idempotencyKey": str(uuid4())}
    refused = gateway.data(SET_DEFAULT, input=given)["setDefaultPaymentMethod"]
    assert [one["code"] for one in refused["userErrors"]] == ["METHOD_NOT_USABLE"]
    knowingly = {**given, "allowExpired": True, "idempotencyKey": str(uuid4())}
    chosen = gateway.data(SET_DEFAULT, input=knowingly)["setDefaultPaymentMethod"]
    assert chosen["userErrors"] == []
    assert chosen["customer"]["defaultMethod"] == {"id": card["id"]}
    assert quoted(gateway, defaultOfCustomer=True) == ["METHOD_NOT_USABLE"]
    assert quoted(gateway, paymentMethodId=card["id"]) == ["METHOD_NOT_USABLE"]
    assert not [row for row in sandbox.calls("caselle") if row["path"].startswith("/api/payments")]


def quoted(gateway: RunningGateway, **using: Any) -> list[str]:
    given = {
        "customerId": "cus_alex",
        "idempotencyKey": str(uuid4()),
        "amount": {"amount": "1.00", "currency": "USD"},
        "reference": "inv-1",
        "using": using,
    }
    found = gateway.data(QUOTE, input=given)["quotePayment"]
    assert found["payment"] is None
    return [one["code"] for one in found["userErrors"]]


def test_a_kind_that_is_not_known_is_shown_and_never_chosen_or_charged(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    changed(sandbox, "caselle", {"/0/payment_method/payment_method_type": "apple_pay", "/0/is_default": True})
    customer = wallet(gateway)
    (other,) = of(customer, "CASELLE", "OTHER")
    assert (other["__typename"], other["providerKind"], other["isProviderDefault"]) == (
        "OtherMethod",
        "apple_pay",
        True,
    )
    assert not {"PAY", "SET_DEFAULT"} & {*other["capabilities"]}
    assert customer["defaultMethod"] != {"id": other["id"]}
    given = {"customerId": "cus_alex", "paymentMethodId": other["id"], "allowExpired": True}
    refused = gateway.data(SET_DEFAULT, input={**given, "idempotencyKey": str(uuid4())})["setDefaultPaymentMethod"]
    assert [one["code"] for one in refused["userErrors"]] == ["METHOD_NOT_USABLE"]
    assert quoted(gateway, paymentMethodId=other["id"]) == ["METHOD_NOT_USABLE"]
    assert not [row for row in sandbox.calls("caselle") if row["path"].startswith("/api/payments")]


@pytest.mark.parametrize(
    ("provider", "values", "details"),
    [
        ("loanpro", {"/d/results/0/PaymentAccounts/results/*/isPaymentAllowed": 0}, {"PAYMENT_NOT_ALLOWED", None}),
        ("jpmorgan", {"/profileStatus": "INACTIVE"}, {"PROFILE_INACTIVE"}),
        ("jpmorgan", {f"{JPM_CARDS}/accountStatus": "inactive"}, {None}),
        ("caselle", {"/*/status": "disabled"}, {None}),
    ],
)
def test_a_vaults_do_not_use_flag_makes_a_method_inactive(
    gateway: RunningGateway, sandbox: RunningSandbox, provider: str, values: dict[str, Any], details: set[str | None]
) -> None:
    changed(sandbox, provider, values)
    customer = wallet(gateway)
    assert of(customer, provider.upper()) == []
    inactive = [one for one in customer["inactive"] if one["provider"] == provider.upper()]
    assert inactive
    assert {one["statusDetail"] for one in inactive} <= details
    assert {one["isDefault"] for one in inactive} == {False}
    assert customer["defaultMethodInfo"]["state"] == "RESOLVED"


@pytest.mark.parametrize(
    ("details", "status"),
    [
        ({"responseCode": "DECLINED"}, "FAILED"),
        ({"hostMessage": "Declined by issuer"}, "FAILED"),
        ({"responseCode": "PENDING"}, "UNKNOWN"),
        ({"responseCode": 17}, "UNKNOWN"),
        ({"responseCode": "APPROVED"}, "AUTHENTICATED"),
    ],
)
def test_a_three_d_secure_success_that_is_contradicted(
    gateway: RunningGateway, sandbox: RunningSandbox, details: dict[str, Any], status: str
) -> None:
    query = """{ customer(id: "cus_alex") { paymentMethods(filter: {providers: [JPMORGAN], kinds: [CARD]}) {
      authStatus } } }"""
    result = {f"/cardAuthenticationDetails/{name}": value for name, value in details.items()}
    changed(sandbox, "jpmorgan", {"/cardAuthenticationDetails/responseStatus": "SUCCESS", **result})
    found = [one["authStatus"] for one in gateway.data(query)["customer"]["paymentMethods"]]
    assert found
    assert set(found) - {"NOT_PERFORMED"} == {status}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_error_with_status_200_is_an_outage_and_not_an_empty_wallet(
    gateway: RunningGateway, sandbox: RunningSandbox, provider: str
) -> None:
    sandbox.fault(provider.lower(), "rewrite", method="GET", body={"message": "x", "errors": []})
    customer = wallet(gateway)
    assert sources(customer) == {**dict.fromkeys(PROVIDERS, "OK"), provider: "UNAVAILABLE"}
    assert (customer["isComplete"], customer["defaultMethodInfo"]["state"]) == (False, "UNKNOWN")


def test_a_reply_with_a_byte_order_mark(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.fault("caselle", "rewrite", method="GET", body="\ufeff[]")
    customer = wallet(gateway)
    assert (sources(customer)["CASELLE"], of(customer, "CASELLE")) == ("OK", [])


def many(count: int) -> list[Any]:
    card = {"last4": "4242", "exp_month": 1, "exp_year": 2031, "bin": "424242", "card_brand": "VISA"}
    method = {"payment_method_type": "credit", "credit": card}
    return [
        {"saved_payment_method_uid": f"spm_many{number:04d}", "is_default": not number, "payment_method": method}
        for number in range(count)
    ]


COUNT = """query ($first: Int) { customer(id: "cus_alex") {
  paymentMethods(filter: {providers: [CASELLE]}, first: $first) { id } isComplete
  sources { provider state methodCount truncated } } }"""


def test_everything_read_is_shown_and_the_rest_is_reported(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    every, some = start_gateway(**patient()), start_gateway(**patient(max_methods=120), list_limit=100)
    sandbox.fault("caselle", "rewrite", method="GET", body=many(150))

    def result(gateway: RunningGateway, first: int | None = None) -> tuple[int, bool, str, int, bool]:
        customer = gateway.data(COUNT, first=first)["customer"]
        row = next(row for row in customer["sources"] if row["provider"] == "CASELLE")
        shown = {one["id"] for one in customer["paymentMethods"]}
        return len(shown), customer["isComplete"], row["state"], row["methodCount"], row["truncated"]

    assert result(every) == (150, True, "OK", 150, False)
    assert result(every, first=100) == (100, True, "OK", 150, False)
    assert result(some) == (100, False, "PARTIAL", 120, True)
    assert result(some, first=100) == (100, False, "PARTIAL", 120, True), "30 were not read"
    sandbox.clear_faults()
    sandbox.fault("caselle", "rewrite", method="GET", body=many(110))
    assert result(some) == (100, False, "PARTIAL", 110, True), "list_limit leaves 10 out"
    assert result(some, first=99) == (99, True, "OK", 110, False), "as the client asked"
    rows = some.query('{ customer(id: "cus_alex") { paymentMethods { id } } }').body["extensions"]["sources"]
    assert [(row["provider"], row["state"], row["truncated"]) for row in rows] == [("CASELLE", "PARTIAL", True)]


PAGE = """query ($first: Int!, $after: String) { customer(id: "cus_alex") {
  paymentMethodsConnection(filter: {providers: [CASELLE]}, orderBy: PROVIDER, first: $first, after: $after) {
    totalCount edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""


def page_of(gateway: RunningGateway, first: int, after: str | None = None) -> Any:
    return gateway.data(PAGE, first=first, after=after)["customer"]["paymentMethodsConnection"]


def test_a_wallet_page_by_page(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.fault("caselle", "rewrite", method="GET", body=many(130))
    seen: list[str] = []
    after = None
    for count, has_next in ((60, True), (60, True), (10, False)):
        page = page_of(gateway, 60, after)
        info = page["pageInfo"]
        assert (page["totalCount"], len(page["edges"]), info["hasNextPage"]) == (130, count, has_next)
        assert info["hasPreviousPage"] == (after is not None)
        assert (info["startCursor"], info["endCursor"]) == (page["edges"][0]["cursor"], page["edges"][-1]["cursor"])
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = info["endCursor"]
    assert len(set(seen)) == 130
    assert page_of(gateway, 60, after)["edges"] == []


def test_a_cursor_works_after_its_method_is_gone(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.fault("caselle", "rewrite", method="GET", body=many(6))
    every = [edge["node"]["id"] for edge in page_of(gateway, 6)["edges"]]
    after = page_of(gateway, 3)["pageInfo"]["endCursor"]
    sandbox.clear_faults()
    rest = many(6)
    sandbox.fault("caselle", "rewrite", method="GET", body=rest[1:])
    assert [edge["node"]["id"] for edge in page_of(gateway, 9, after)["edges"]] == every[3:], "it moved up"
    sandbox.clear_faults()
    sandbox.fault("caselle", "rewrite", method="GET", body=rest[:2] + rest[3:])
    assert [edge["node"]["id"] for edge in page_of(gateway, 9, after)["edges"]] == every[3:], "it is gone"


@pytest.mark.parametrize("after", ["", "x", "bWV0aG9kOng", "ZXZlbnQ6MS5wbV94", "bWV0aG9kOi0xLnBtX3g"])
def test_an_invalid_cursor_is_refused(gateway: RunningGateway, after: str) -> None:
    reply = gateway.query(PAGE, {"first": 1, "after": after})
    assert reply.codes == ([] if after == "" else ["BAD_USER_INPUT"])
    for first in (0, 1001):
        assert gateway.query(PAGE, {"first": first}).codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("provider", ["caselle", "loanpro"])
def test_pages_make_no_difference(gateway: RunningGateway, sandbox: RunningSandbox, provider: str) -> None:
    before = wallet(gateway)
    sandbox.switch(provider, "PAGE_SIZE", "1")
    assert wallet(gateway) == before
    sandbox.switch(provider, "PAGE_HINT", "next_link")
    assert wallet(gateway) == before


def test_a_list_that_reports_more_records_is_truncated(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.fault("caselle", "rewrite", method="GET", body={"value": many(2), "has_more": True})
    row = next(row for row in wallet(gateway)["sources"] if row["provider"] == "CASELLE")
    assert (row["state"], row["truncated"], row["methodCount"]) == ("PARTIAL", True, 2)
