"""A vault that sends no webhooks: what changes there behind our back is one event for whoever subscribed."""

from app.wallet.changes.poller import Poller
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, upstream
from tests.support.sandbox import RunningSandbox
from tests.support.streams import listening, until_joined

SILENT = {"webhook_secret": ""}  # nobody could tell us, so it is watched


def watching(start_gateway: StartGateway) -> RunningGateway:
    """Rounds are run by the tests: those of the clock are too far apart to get in the way."""
    return start_gateway(caselle=SILENT, watch={"every_s": 3_600, "calls_per_s": 1_000})


def change(sandbox: RunningSandbox, year: int) -> str:
    method = str(sandbox.held("caselle", "cus_88420")[0]["ref"])
    asked = {"provider": "caselle", "saved_payment_method_ids": [method], "exp_month": 7, "exp_year": year}
    sandbox.control("POST", "/noc", asked)
    return method


def test_a_change_behind_our_back_is_one_event(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = watching(start_gateway)
    watch: Poller = gateway.gateway.watch
    with listening(gateway, customer="cus_alex") as alex:
        until_joined(gateway)
        gateway.on_loop(watch.round())  # the first list is what later ones are compared with
        assert alex.is_silent(0.5)
        change(sandbox, 2035)
        for _ in range(3):
            gateway.on_loop(watch.round())
        heard = alex.next()
        assert (heard["type"], heard["origin"], heard["provider"]) == ("METHOD_UPDATED", "RECONCILIATION", "CASELLE")
        assert alex.is_silent(0.7)


def test_nobody_is_watched_without_a_subscriber(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = watching(start_gateway)
    sandbox.clear_calls()
    gateway.on_loop(gateway.gateway.watch.round())
    assert upstream(sandbox) == {}
    with listening(gateway, customer="cus_alex"):
        until_joined(gateway)
        gateway.on_loop(gateway.gateway.watch.round())
        assert set(upstream(sandbox)) == {"LOANPRO", "ALOHA", "JPMORGAN", "CASELLE"}


def test_a_vault_that_stays_away_and_comes_back_is_told_once_each(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = watching(start_gateway)
    watch: Poller = gateway.gateway.watch
    with listening(gateway, customer="cus_alex", types=["SOURCE_DEGRADED", "SOURCE_RECOVERED"]) as alex:
        until_joined(gateway)
        sandbox.fault("aloha", "status", status=503)
        gateway.on_loop(watch.round())
        assert alex.is_silent(0.5)  # once is a hiccup
        for _ in range(3):
            gateway.on_loop(watch.round())
        heard = alex.next()
        assert (heard["type"], heard["provider"], heard["paymentMethodId"]) == ("SOURCE_DEGRADED", "ALOHA", None)
        sandbox.clear_faults()
        for _ in range(2):
            gateway.on_loop(watch.round())
        heard = alex.next()
        assert (heard["type"], heard["provider"]) == ("SOURCE_RECOVERED", "ALOHA")
        assert alex.is_silent(0.7)
