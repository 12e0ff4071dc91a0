"""`schema.graphql`, introspection and the subgraph, as tools of the JavaScript world read them."""

import subprocess
from pathlib import Path

import orjson
import pytest

from tests.support.command import vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.node import npm_ci, require_node

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "clients"

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(400)]


def test_graphql_js_loads_the_schema_and_a_composer_the_subgraph(demo_gateway: RunningGateway, tmp_path: Path) -> None:
    node = require_node()
    npm_ci(FOLDER)
    subgraph = tmp_path / "subgraph.graphql"
    subgraph.write_text(vaultgraph("schema", "--subgraph").stdout, "utf-8")
    done = subprocess.run(
        [node, "schema.mjs", ROOT / "schema.graphql", subgraph, f"{demo_gateway.url}/graphql", demo_gateway.token()],
        cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert orjson.loads(done.stdout) == {"differences": [], "compositionErrors": [], "joins": True}


NOT_OBJECTS_WITH_AN_ID = ("Payload", "Error", "Connection", "Edge", "Summary", "Info", "Result", "Status")
VALUES = {
    "AddedPaymentMethod": "one result of a write; its method has an id",
    "Address": "a value of its payment method",
    "CustomerExport": "a document, made for one request",
    "ExpiringPaymentMethod": "an observation; its method has an id",
    "Consent": "a value of its payment method",
    "Mandate": "a value of its bank account; caches must not share it between customers",
    "Money": "a value",
    "NextAction": "shown once",
    "PaymentAttempt": "a value of its payment",
    "ProviderLink": "a value of its customer",
    "ThreeDSecure": "a value of its card",
    "Tokenization": "shown once",
    "VaultAddress": "a value of its customer at one vault",
    "VaultContacts": "a value of its customer at one vault",
    "VaultEmail": "a value of its customer at one vault",
    "VaultPersonName": "a value of its customer at one vault",
    "VaultPhone": "a value of its customer at one vault",
    "Viewer": "there is one in a response",
}
"""Types without an id, by GraphQL-ESLint's rule `strict-id-in-types`, and why."""
OTHER_EXCEPTIONS = {
    'Description is required for directive "oneOf"': "the specification describes it; newer parsers know it",
    'Field "mandateId" starts with the name of the parent type "Mandate"': "`id` would make caches share it",
    'Field "mandateType" starts with the name of the parent type "Mandate"': "next to mandateId, as SEPA names both",
    'Field "paymentMethod" starts with the name of the parent type "Payment"': "the name of its type everywhere",
}


def test_the_schema_passes_graphql_eslints_recommended_rules() -> None:
    node = require_node()
    npm_ci(FOLDER)
    done = subprocess.run(
        [node, "lint.mjs", ROOT / "schema.graphql"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [tuple(one) for one in orjson.loads(done.stdout)]
    no_id = {text.split('"')[1] for rule, text in found if rule == "strict-id-in-types"}
    assert {name for name in no_id if not name.endswith(NOT_OBJECTS_WITH_AN_ID)} == set(VALUES)
    assert {text for rule, text in found if rule != "strict-id-in-types"} == set(OTHER_EXCEPTIONS)
