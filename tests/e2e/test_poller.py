"""A vault without webhooks: a change made there causes one event for subscribers."""

from app.wallet.changes.poller import Poller
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, upstream
from tests.support.sandbox import RunningSandbox
from tests.support.streams import listening, until_joined

SILENT = {"webhook_secret": ""}  # no webhooks, so it is polled


def polling(start_gateway: StartGateway) -> RunningGateway:
    """The tests run the rounds; scheduled ones are too far apart to interfere."""
    return start_gateway(caselle=SILENT, watch={"every_s": 3_600, "calls_per_s": 1_000})


def change(sandbox: RunningSandbox, year: int) -> str:
    method = str(sandbox.held("caselle", "cus_88420")[0]["ref"])
    asked = {"provider": "caselle", "saved_payment_method_ids": [method], "exp_month": 7, "exp_year": year}
    sandbox.control("POST", "/noc", asked)
    return method


def test_a_change_made_at_the_vault_is_one_event(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = polling(start_gateway)
    poller: Poller = gateway.gateway.poller
    with listening(gateway, customer="cus_alex") as alex:
        until_joined(gateway)
        gateway.on_loop(poller.round())  # the baseline for later lists
        assert alex.is_silent(0.5)
        change(sandbox, 2035)
        for _ in range(3):
            gateway.on_loop(poller.round())
        heard = alex.next()
        assert (heard["type"], heard["origin"], heard["provider"]) == ("METHOD_UPDATED", "RECONCILIATION", "CASELLE")
        assert alex.is_silent(0.7)


def test_customers_without_subscribers_are_not_polled(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = polling(start_gateway)
    sandbox.clear_calls()
    gateway.on_loop(gateway.gateway.poller.round())
    assert upstream(sandbox) == {}
    with listening(gateway, customer="cus_alex"):
        until_joined(gateway)
        gateway.on_loop(gateway.gateway.poller.round())
        assert set(upstream(sandbox)) == {"LOANPRO", "ALOHA", "JPMORGAN", "CASELLE"}


def test_an_outage_and_a_recovery_are_one_event_each(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = polling(start_gateway)
    poller: Poller = gateway.gateway.poller
    with listening(gateway, customer="cus_alex", types=["SOURCE_DEGRADED", "SOURCE_RECOVERED"]) as alex:
        until_joined(gateway)
        sandbox.fault("aloha", "status", status=503)
        gateway.on_loop(poller.round())
        assert alex.is_silent(0.5)  # a single failure is ignored
        for _ in range(3):
            gateway.on_loop(poller.round())
        heard = alex.next()
        assert (heard["type"], heard["provider"], heard["paymentMethodId"]) == ("SOURCE_DEGRADED", "ALOHA", None)
        sandbox.clear_faults()
        for _ in range(2):
            gateway.on_loop(poller.round())
        heard = alex.next()
        assert (heard["type"], heard["provider"]) == ("SOURCE_RECOVERED", "ALOHA")
        assert alex.is_silent(0.7)
