"""A misbehaving vault affects only its own row in `sources`."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.gateway import GraphQLReply, RunningGateway
from tests.support.gateways import PROVIDERS, StartGateway, patient, sources, upstream
from tests.support.sandbox import RunningSandbox
from tests.support.vault_proxy import VaultProxy
from tests.support.waiting import eventually

SOON_S = 60  # far above the deadline of a hanging vault, far below the faults' delay
HELD = {"LOANPRO": 2, "ALOHA": 2, "JPMORGAN": 3, "CASELLE": 2}
WALLET = """{ customer(id: "cus_alex") {
  name paymentMethods { provider isDefault isStale } defaultMethod { id } defaultMethodInfo { state reason }
  authStatus authSummary { status isComplete } isComplete
  sources { provider state methodCount skippedCount isStale retryAfterSeconds message latencyMs fetchedAt }
} }"""


def asked(gateway: RunningGateway, query: str = WALLET) -> tuple[Any, GraphQLReply]:
    """The customer, from a response that must be 200, without errors, within the deadline."""
    began = time.monotonic()
    reply = gateway.query(query)
    took = time.monotonic() - began
    assert (reply.status, reply.errors) == (200, [])
    assert took < SOON_S, "the slowest vault within the deadline, with room for a slow machine"
    return reply.data["customer"], reply


def patient_with(provider: str, **settings: Any) -> dict[str, Any]:
    every = patient()
    return {**every, provider.lower(): {**every[provider.lower()], **settings}}


def row_of(customer: Any, provider: str) -> Any:
    return next(row for row in customer["sources"] if row["provider"] == provider)


FAULTS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("delay", {"delay_ms": 60_000}, {"TIMEOUT"}),
    ("hang", {}, {"TIMEOUT"}),
    ("status", {"status": 500}, {"UNAVAILABLE"}),
    ("status", {"status": 503}, {"UNAVAILABLE"}),
    ("status", {"status": 401}, {"UNAUTHORIZED"}),
    ("status", {"status": 418}, {"UNAVAILABLE"}),
    ("status", {"status": 204}, {"UNAVAILABLE"}),
    ("throttle", {"retry_after_s": 30}, {"THROTTLED"}),
    ("drop_before", {}, {"UNAVAILABLE"}),
    ("drop_after", {}, {"UNAVAILABLE"}),
    ("truncate", {}, {"UNAVAILABLE"}),
    ("garbage", {}, {"UNAVAILABLE"}),
]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("kind", "fields", "states"), FAULTS, ids=[f"{kind}-{f.get('status', '')}" for kind, f, _ in FAULTS]
)
def test_one_failing_vault_affects_only_its_row(
    provider: str,
    kind: str,
    fields: dict[str, Any],
    states: set[str],
    start_gateway: StartGateway,
    sandbox: RunningSandbox,
) -> None:
    gateway = start_gateway(**patient(*([provider] if states == {"TIMEOUT"} else [])))
    sandbox.fault(provider.lower(), kind, **fields)
    customer, reply = asked(gateway)
    state = row_of(customer, provider)["state"]
    assert state in states
    assert sources(customer) == {**dict.fromkeys(PROVIDERS, "OK"), provider: state}
    held = [one["provider"] for one in customer["paymentMethods"]]
    assert {name: held.count(name) for name in PROVIDERS} == {**HELD, provider: 0}
    row = row_of(customer, provider)
    assert (row["methodCount"], row["fetchedAt"], row["isStale"]) == (None, None, False)
    assert row["message"]
    if states == {"TIMEOUT"}:
        assert row["latencyMs"] < 8_000, "its own deadline of 0.8 s counts, not the 15 s of the others"
    assert (customer["defaultMethod"], customer["defaultMethodInfo"]) == (None, {"state": "UNKNOWN", "reason": None})
    assert {one["isDefault"] for one in customer["paymentMethods"]} == {None}
    assert (customer["authStatus"], customer["isComplete"]) == ("UNKNOWN", False)
    assert customer["authSummary"] == {"status": "UNKNOWN", "isComplete": False}
    echoed = reply.body["extensions"]["sources"]
    assert [(one["customerId"], one["provider"], one["state"]) for one in echoed] == [("cus_alex", provider, state)]
    sandbox.clear_faults()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "truncate"])
def test_a_lost_read_is_retried(provider: str, kind: str, start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    sandbox.fault(provider.lower(), kind, times=1)
    customer = gateway.data(WALLET)["customer"]
    assert sources(customer) == dict.fromkeys(PROVIDERS, "OK")
    assert upstream(sandbox) == {**dict.fromkeys(PROVIDERS, 1), provider: 2}


def test_a_slow_vault_within_the_deadline_is_waited_for(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    sandbox.fault("aloha", "delay", delay_ms=600)
    customer = gateway.data(WALLET)["customer"]
    assert sources(customer) == dict.fromkeys(PROVIDERS, "OK")
    assert row_of(customer, "ALOHA")["latencyMs"] >= 600


def test_vaults_are_read_together(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    """The response takes as long as the slowest vault, never the sum."""
    gateway = start_gateway(**patient())
    for provider in PROVIDERS:
        sandbox.fault(provider.lower(), "hang")
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(gateway.query, WALLET)
        eventually(lambda: set(upstream(sandbox)) == set(PROVIDERS), "a call to each, while none answers")
        assert not asking.done()
        sandbox.reset()  # ends the calls that hang
        asking.result()


def test_a_hanging_vault_does_not_delay_queries_without_it(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    sandbox.fault("aloha", "hang")
    began = time.monotonic()
    gateway.data('{ customer(id: "cus_alex") { paymentMethods(filter: {providers: [LOANPRO, CASELLE]}) { id } } }')
    gateway.data('{ customer(id: "cus_sam") { paymentMethods { id } } }')
    assert time.monotonic() - began < SOON_S


def test_the_default_deadline_holds(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(loanpro={"fresh_for_s": 60})
    gateway.data('{ customer(id: "cus_alex") { paymentMethods(filter: {providers: [LOANPRO]}) { id } } }')
    for provider in PROVIDERS[1:]:
        sandbox.fault(provider.lower(), "hang")
    began = time.monotonic()
    customer = gateway.data(WALLET)["customer"]
    assert 2.5 < time.monotonic() - began < SOON_S
    assert sources(customer) == {**dict.fromkeys(PROVIDERS, "TIMEOUT"), "LOANPRO": "OK"}


@pytest.mark.parametrize("kind", ["hang", "status", "garbage"])
def test_an_unavailable_token_server_affects_only_its_vault(
    kind: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient("CASELLE"))
    sandbox.fault("caselle", kind, path="/oauth2/token", status=503)
    customer, _ = asked(gateway)
    assert sources(customer)["CASELLE"] in {"TIMEOUT", "UNAVAILABLE"}
    assert {name: state for name, state in sources(customer).items() if name != "CASELLE"} == dict.fromkeys(
        PROVIDERS[:3], "OK"
    )


@pytest.mark.parametrize("kind", ["hang", "status", "drop_before", "garbage", "throttle"])
def test_all_linked_vaults_down_is_null_with_one_error(
    kind: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient(*PROVIDERS))
    for name in ("loanpro", "jpmorgan", "caselle"):
        sandbox.fault(name, kind)
    began = time.monotonic()
    reply = gateway.query(
        """{ customer(id: "cus_sam") { name paymentMethods { id } defaultMethod { id } defaultMethodInfo { state }
             authStatus sources { provider state methodCount } isComplete } }"""
    )
    assert time.monotonic() - began < SOON_S
    assert (reply.status, reply.codes) == (200, ["SOURCES_UNAVAILABLE"])
    assert reply.errors[0]["path"] == ["customer", "paymentMethods"]
    customer = reply.data["customer"]
    assert customer["name"] == "Sam Okafor", "what the directory knows is there"
    assert customer["paymentMethods"] is None
    assert (customer["defaultMethod"], customer["defaultMethodInfo"], customer["authStatus"]) == (
        None,
        {"state": "UNKNOWN"},
        "UNKNOWN",
    )
    states = sources(customer)
    assert states["ALOHA"] == "NOT_LINKED"
    assert not {"OK", "STALE", "PARTIAL"} & set(states.values())
    assert len(reply.body["extensions"]["sources"]) == 3


def test_only_requested_vaults_count_as_unavailable(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    sandbox.fault("aloha", "status", status=500)
    reply = gateway.query(
        """{ customer(id: "cus_alex") {
          aloha: paymentMethods(filter: {providers: [ALOHA]}) { id }
          loanpro: paymentMethods(filter: {providers: [LOANPRO]}) { id } } }"""
    )
    assert (reply.status, reply.codes) == (200, ["SOURCES_UNAVAILABLE"])
    assert reply.errors[0]["path"] == ["customer", "aloha"]
    assert len(reply.data["customer"]["loanpro"]) == 2


def test_a_method_of_an_unavailable_vault_is_not_missing(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient(stale_if_error_for_s=0))
    methods = gateway.data('{ customer(id: "cus_alex") { paymentMethods(filter: {providers: [ALOHA]}) { id } } }')
    sandbox.fault("aloha", "status", status=500)
    reply = gateway.query(
        "query ($id: ID!) { paymentMethod(id: $id) { id } }", {"id": methods["customer"]["paymentMethods"][0]["id"]}
    )
    assert (reply.status, reply.codes, reply.data) == (200, ["SOURCES_UNAVAILABLE"], {"paymentMethod": None})


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_failing_vault_affects_no_customer_of_a_batch(
    provider: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    sandbox.fault(provider.lower(), "status", status=500)
    ids = [f"cus_load-{number:04d}" for number in range(1, 21)]
    reply = gateway.query(
        """query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Customer {
             paymentMethods { provider } sources { provider state } } } }""",
        {"ids": ids},
    )
    assert (reply.status, reply.errors) == (200, [])
    for customer in reply.data["nodes"]:
        assert sources(customer)[provider] in {"UNAVAILABLE", "CIRCUIT_OPEN"}
        assert {one["provider"] for one in customer["paymentMethods"]} == set(PROVIDERS) - {provider}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_stale_data_is_shown_and_marked(provider: str, start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    asked(gateway)
    sandbox.fault(provider.lower(), "status", status=503)
    customer, reply = asked(gateway)
    row = row_of(customer, provider)
    assert (row["state"], row["isStale"], row["methodCount"]) == ("STALE", True, HELD[provider])
    assert {one["isStale"] for one in customer["paymentMethods"] if one["provider"] == provider} == {True}
    assert {one["isStale"] for one in customer["paymentMethods"] if one["provider"] != provider} == {False}
    assert len(customer["paymentMethods"]) == 9
    assert customer["defaultMethodInfo"]["state"] == "UNKNOWN", "a stale list is no answer"
    assert [one["state"] for one in reply.body["extensions"]["sources"]] == ["STALE"]
    sandbox.clear_faults()
    assert sources(asked(gateway)[0]) == dict.fromkeys(PROVIDERS, "OK")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_refused_credentials_drop_stale_data(
    provider: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    asked(gateway)
    sandbox.fault(provider.lower(), "status", status=401)
    for _ in range(2):
        customer, _ = asked(gateway)
        assert sources(customer)[provider] == "UNAUTHORIZED"
        assert provider not in {one["provider"] for one in customer["paymentMethods"]}
    sandbox.clear_faults()
    sandbox.fault(provider.lower(), "status", status=503)
    assert sources(asked(gateway)[0])[provider] == "UNAVAILABLE", "the snapshot is gone"


def test_a_vault_that_fails_too_often_is_not_called(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient(breaker={"open_for_s": 60}))
    sandbox.fault("caselle", "status", status=500)
    for _ in range(60):
        state = sources(asked(gateway)[0])["CASELLE"]
        if state == "CIRCUIT_OPEN":
            break
    assert state == "CIRCUIT_OPEN"
    sandbox.clear_calls()
    customer, _ = asked(gateway)
    assert sources(customer) == {**dict.fromkeys(PROVIDERS, "OK"), "CASELLE": "CIRCUIT_OPEN"}
    assert "CASELLE" not in upstream(sandbox)
    assert row_of(customer, "CASELLE")["retryAfterSeconds"] >= 1
    shown = gateway.data("{ providers { provider circuit } }")["providers"]
    assert {one["provider"]: one["circuit"] for one in shown} == {
        **dict.fromkeys(PROVIDERS, "CLOSED"),
        "CASELLE": "OPEN",
    }


def _second(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Corrupt one record of whichever list the vault returns."""

    def edit(body: Any) -> Any:
        records = _records(body)
        if len(records) > 1:
            records[1] = change(records[1])
        return body

    return edit


def _records(body: Any) -> list[Any]:
    if isinstance(body, list):
        return body
    if "paymentMethodType" in body:
        cards: list[Any] = body["paymentMethodType"]["cardList"]
        return cards
    results = body["d"]["results"]
    return results[0]["PaymentAccounts"]["results"] if "PaymentAccounts" in results[0] else results  # type: ignore[no-any-return]


SPOILT: dict[str, Callable[[Any], Any]] = {
    "null": lambda record: None,
    "a number": lambda record: 5,
    "a text": lambda record: "gone",
    "a list": lambda record: [record],
    "an empty object": lambda record: {},
    "nothing but nulls": lambda record: dict.fromkeys(record),
    "objects for texts": lambda record: {name: {"a": 1} for name in record},
    "huge numbers": lambda record: dict.fromkeys(record, 10**30),
}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_malformed_record_is_skipped_and_counted(
    provider: str, spoilt: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    base_url = sandbox.credentials(provider.lower())["base_url"]
    with VaultProxy(base_url, _second(SPOILT[spoilt])) as proxy:
        gateway = start_gateway(**patient_with(provider, base_url=proxy.url))
        customer, reply = asked(gateway)
        row = row_of(customer, provider)
        assert (row["state"], row["skippedCount"]) == ("PARTIAL", 1)
        assert {name: state for name, state in sources(customer).items() if name != provider} == dict.fromkeys(
            set(PROVIDERS) - {provider}, "OK"
        )
        held = [one["provider"] for one in customer["paymentMethods"]].count(provider)
        assert held == row["methodCount"] >= 1
        assert customer["defaultMethodInfo"]["state"] == "UNKNOWN"
        assert (customer["isComplete"], customer["authStatus"]) == (False, "UNKNOWN")
        assert b"gone" not in reply.raw, "never echoed"


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"5",
        b'"a text"',
        b"[5]",
        b"{}",
        b"[]x",
        b'{"d": null}',
        b"<html><body>Down for maintenance</body></html>",
        b"[" * 5000,
        b"",
        b"\xff\xfe",
        b'{"d": {"results": 7}}',
        b'{"paymentMethodType": 7}',
        b'{"value": {"a": 1}}',
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
def test_a_reply_of_another_shape_affects_only_its_row(
    provider: str, body: bytes, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    base_url = sandbox.credentials(provider.lower())["base_url"]
    with VaultProxy(base_url, lambda _: body) as proxy:
        gateway = start_gateway(**patient_with(provider, base_url=proxy.url))
        customer, reply = asked(gateway)
    state = row_of(customer, provider)["state"]
    assert state in {"UNAVAILABLE", "PARTIAL"}, "not what the vault documents: never OK and empty"
    assert {name: state for name, state in sources(customer).items() if name != provider} == dict.fromkeys(
        set(PROVIDERS) - {provider}, "OK"
    )
    assert b"maintenance" not in reply.raw
    assert customer["defaultMethodInfo"]["state"] == "UNKNOWN"


def test_a_disabled_vault_is_reported_as_disabled(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(aloha={"enabled": False})
    customer = gateway.data(WALLET)["customer"]
    assert sources(customer) == {**dict.fromkeys(PROVIDERS, "OK"), "ALOHA": "DISABLED"}
    assert "ALOHA" not in upstream(sandbox)
    assert customer["isComplete"] is True
