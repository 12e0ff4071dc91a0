"""A real gateway with Stripe in it, over HTTP: `vaultgraph check` and `vaultgraph dev` as processes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import pytest
from localstripe_server import KEY, LocalStripe
from vaultgraph_stripe.mapping import NAME

from app.testing.sandbox import RunningSandbox

COMMAND: Final = Path(sys.executable).parent / "vaultgraph"
ASKED: Final = "id provider last4 isProviderDefault isDefault"
ERRORS: Final = "operation { state } userErrors { code path message }"
WALLET: Final = (
    f"query ($id: ID!) {{ customer(id: $id) {{ paymentMethods {{ {ASKED} }} sources {{ provider state }} }} }}"
)
PROVIDERS: Final = """{ providers { provider displayName enabled capabilities addVia }
  __type(name: "Provider") { enumValues { name } } }"""

Ask = Callable[..., Any]


def mutation(name: str, shown: str = "") -> str:
    kind = f"{name[0].upper()}{name[1:]}Input!"
    return f"mutation ($input: {kind}) {{ {name}(input: $input) {{ {ERRORS} {shown} }} }}"


LINK: Final = mutation("linkProviderCustomer")
CREATE: Final = mutation("createCustomer", "customer { id }")
ADD: Final = mutation("addPaymentMethod", f"paymentMethod {{ {ASKED} }}")
DEFAULT: Final = mutation("setDefaultPaymentMethod")
DELETE: Final = mutation("deletePaymentMethod", "deletedId")


def settings(sandbox: RunningSandbox, key: str = KEY) -> dict[str, str]:
    """The environment of a gateway that has this vault alone, at localstripe."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAULTGRAPH_")}
    section = {"enabled": "true", "base_url": sandbox.credentials(NAME)["base_url"], "api_key": key, "deadline_s": "20"}
    return {**kept, **{f"VAULTGRAPH_STRIPE__{name.upper()}": value for name, value in section.items()}}


@pytest.fixture
def ask(sandbox: RunningSandbox, tmp_path: Path) -> Iterator[Ask]:
    """`ask(document, **variables)`: the data of an answer without errors."""
    command = [COMMAND, "dev", "--port", "0", "--sandbox-port", "0", "--data-dir", tmp_path]
    with subprocess.Popen(command, env=settings(sandbox), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while (shown := re.search(r"curl -s (\S+) -H 'authorization: (Bearer \S+)'", said)) is None:
            line = process.stdout.readline()
            assert line, said
            said += line
        url, token = shown.groups()

        def asked(document: str, **variables: Any) -> Any:
            body = json.dumps({"query": document, "variables": variables}).encode()
            headers = {"authorization": token, "content-type": "application/json"}
            with urlopen(Request(url, body, headers), timeout=30) as reply:
                found = json.load(reply)
            assert "errors" not in found, found
            return found["data"]

        yield asked
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def done(ask: Ask, document: str, number: int, **given: Any) -> Any:
    """The payload of a write that succeeded."""
    (payload,) = ask(document, input={"idempotencyKey": f"stripe-example-{number:04d}", **given}).values()
    assert payload["userErrors"] == []
    return payload


def test_it_shows_up(ask: Ask) -> None:
    found = ask(PROVIDERS)
    assert found["providers"][-1] == {
        "provider": "STRIPE",
        "displayName": "Stripe",
        "enabled": True,
        "capabilities": ["LIST", "ADD", "SET_DEFAULT", "DELETE", "IDEMPOTENT_WRITES"],
        "addVia": ["PROVIDER_TOKEN"],
    }
    assert found["__type"]["enumValues"][-1] == {"name": "STRIPE"}


def test_methods_are_listed_added_made_the_default_and_deleted(
    ask: Ask, stripe: LocalStripe, sandbox: RunningSandbox, keys: list[str | None]
) -> None:
    ref = stripe.new_customer(methods=1)
    customer = done(ask, CREATE, 1, externalId="ada", name={"first": "Ada", "last": "Example"})["customer"]["id"]
    done(ask, LINK, 2, customerId=customer, provider="STRIPE", customerRef=ref)
    method = {"stripePaymentMethod": {"paymentMethodId": stripe.new_method()}}
    added = done(ask, ADD, 3, customerId=customer, method=method)["paymentMethod"]
    assert (added["provider"], added["last4"], added["isProviderDefault"]) == ("STRIPE", "4242", False)
    wallet = ask(WALLET, id=customer)["customer"]
    assert len(wallet["paymentMethods"]) == 2
    assert {"provider": "STRIPE", "state": "OK"} in wallet["sources"]
    done(ask, DEFAULT, 4, customerId=customer, paymentMethodId=added["id"])
    shown = {one["id"]: one["isProviderDefault"] for one in ask(WALLET, id=customer)["customer"]["paymentMethods"]}
    assert [shown.pop(added["id"]), *shown.values()] == [True, False]
    assert done(ask, DELETE, 5, id=added["id"])["deletedId"] == added["id"]
    assert [one["id"] for one in ask(WALLET, id=customer)["customer"]["paymentMethods"]] == list(shown)
    assert len(sandbox.held(NAME, ref)) == 1
    assert len(keys) == len(set(keys)) == 3  # attach, default, detach
    assert None not in keys


def test_a_customer_is_made_with_its_first_method(ask: Ask, stripe: LocalStripe, keys: list[str | None]) -> None:
    customer = done(ask, CREATE, 6, externalId="bo", name={"first": "Bo", "last": "Example"})["customer"]["id"]
    method = {"stripePaymentMethod": {"paymentMethodId": stripe.new_method()}}
    added = done(ask, ADD, 7, customerId=customer, method=method, provision=True, makeDefault=True)["paymentMethod"]
    assert (added["provider"], added["isProviderDefault"]) == ("STRIPE", True)
    assert len(keys) == len(set(keys)) == 3  # customer, attach, default
    assert None not in keys


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (KEY, "\tok"),
        ("wrong", "Check stripe.api_key."),
        ("", "missing: set stripe.api_key"),
    ],
)
def test_check_tries_it(sandbox: RunningSandbox, tmp_path: Path, key: str, said: str) -> None:
    made = {"VAULTGRAPH_ID_KEY": "i" * 40, "VAULTGRAPH_DIGEST_KEY": "d" * 40, "VAULTGRAPH_MODE": "development"}
    env = {**settings(sandbox, key), **made, "VAULTGRAPH_DATA_DIR": str(tmp_path)}
    done = subprocess.run([COMMAND, "check"], env=env, capture_output=True, text=True, timeout=60, check=False)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("stripe\t")]
    assert line.endswith(said)
