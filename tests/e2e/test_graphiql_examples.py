"""Every example tab of GraphiQL runs against the demo customers, in the order of the tabs."""

import json
from typing import Any

from app.api import graphiql
from tests.support.gateways import StartGateway, patient
from tests.support.sandbox import RunningSandbox
from tests.support.streams import listening, until_joined


def test_every_example_runs(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    *examples, events = [(one["query"], json.loads(one["variables"] or "{}")) for one in graphiql.examples()]
    assert "subscription Events" in events[0]
    answers: dict[str, Any] = {}
    with listening(gateway, events[0], **events[1]) as listener:
        until_joined(gateway)
        for query, variables in examples:
            name = next(line for line in query.splitlines() if line[0] != "#").split("(")[0].split()[1]
            if name == "SetDefault":
                variables["input"]["paymentMethodId"] = answers["Wallet"]["customer"]["paymentMethods"][-1]["id"]
            if name == "CapturePayment":
                variables["input"]["paymentId"] = answers["QuotePayment"]["quotePayment"]["payment"]["id"]
            if name == "PartialResult":
                sandbox.fault("loanpro", "status", status=503)
            reply = gateway.query(query, variables)
            sandbox.clear_faults()
            assert (reply.status, reply.errors) == (200, []), name
            assert [field["userErrors"] for field in reply.data.values() if "userErrors" in field] in ([], [[]]), name
            answers[name] = reply.data
        assert listener.next()["type"] == "DEFAULT_CHANGED"
    states = {row["provider"]: row["state"] for row in answers["PartialResult"]["customer"]["sources"]}
    assert (states["LOANPRO"], states["CASELLE"]) == ("STALE", "OK")
    assert answers["Default"]["customer"]["toPay"]["provider"] == "CASELLE"
    assert answers["CapturePayment"]["capturePayment"]["payment"]["state"] == "CAPTURED"
    assert len(answers["Import"]["importPaymentMethods"]["operation"]["results"]["edges"]) == 2
