"""The clients that partners and frontends use, from npm, set up as their own documentation says: what their builds make
is published by the command, and what their runtimes send is answered."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.node import npm_ci, require_node
from tests.support.partners import PartnerApp
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "clients"
BUILDS = {
    "apollo": ("@apollo/generate-persisted-query-manifest/cli.js",),
    "relay": ("relay-compiler/cli.js", "relay.config.json"),
    "codegen": ("@graphql-codegen/cli/esm/bin.js", "--config", "codegen.mjs"),
}

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(400)]


class Workshop:
    """A copy of the clients, in which their builds may write."""

    def __init__(self, folder: Path) -> None:
        self.node = require_node()
        modules = npm_ci(FOLDER)
        shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("node_modules"))
        (folder / "node_modules").symlink_to(modules)
        shutil.copy(ROOT / "schema.graphql", folder)
        (folder / "out").mkdir()
        (folder / "out" / "relay.json").write_text("{}")
        self.folder = folder

    def run(self, *words: str | Path) -> str:
        done = subprocess.run(
            [self.node, *words], cwd=self.folder, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def build(self, name: str) -> None:
        script, *words = BUILDS[name]
        self.run(Path("node_modules") / script, *words)

    def ask(self, script: str, gateway: RunningGateway, key: str, *more: str) -> Any:
        return json.loads(self.run(script, f"{gateway.url}/graphql", key, *more))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "clients")


@pytest.fixture
def acme(demo_gateway: RunningGateway) -> PartnerApp:
    return PartnerApp(demo_gateway, "acme")


def publish(acme: PartnerApp, file: Path) -> list[str]:
    """As the partner's operator does it; answers the ids, once the running gateway has them."""
    env = {"VAULTGRAPH_DIGEST_KEY": acme.gateway.settings.digest_key.first.reveal()}
    done = vaultgraph("documents", "publish", acme.name, file, "--data-dir", acme.gateway.data_dir, **env)
    assert done.returncode == 0, done.stderr
    listed = vaultgraph("documents", "list", acme.name, "--json", "--data-dir", acme.gateway.data_dir, **env).stdout
    ids = [row["id"] for row in json.loads(listed)]
    eventually(lambda: all(acme.has(one) for one in ids))
    return ids


def names_and_labels(answer: Any) -> tuple[str, int]:
    customer = answer["data"]["customer"]
    assert all(method["label"] for method in customer["paymentMethods"])
    return customer["name"], len(customer["paymentMethods"])


def no_texts(report: Any) -> bool:
    return not any(one["text"] for one in report["sent"])


@pytest.fixture
def expected(demo_gateway: RunningGateway) -> tuple[str, int]:
    """What a plain query answers."""
    data = demo_gateway.data('{ customer(id: "cus_alex") { name paymentMethods { label } } }')
    return names_and_labels({"data": data})


def test_apollo_client_by_the_ids_of_its_manifest(
    workshop: Workshop, acme: PartnerApp, expected: tuple[str, int]
) -> None:
    workshop.build("apollo")
    manifest = workshop.folder / "out" / "apollo.json"
    refused = workshop.ask("apollo.mjs", acme.gateway, acme.key, str(manifest))
    assert refused["first"]["codes"] == ["PERSISTED_QUERY_NOT_IN_LIST"]
    assert no_texts(refused), "the client is not invited to send its text"
    ids = publish(acme, manifest)
    report = workshop.ask("apollo.mjs", acme.gateway, acme.key, str(manifest))
    assert names_and_labels(report["first"]) == expected
    assert report["who"]["data"]["viewer"]["partner"] == "acme"
    assert no_texts(report)
    assert {one["id"] for one in report["sent"]} == set(ids)


def test_apollo_client_with_automatic_persisted_queries(
    workshop: Workshop, demo_gateway: RunningGateway, expected: tuple[str, int]
) -> None:
    report = workshop.ask("apollo.mjs", demo_gateway, demo_gateway.token())
    assert names_and_labels(report["first"]) == names_and_labels(report["second"]) == expected
    wallet = report["sent"][0]["id"]
    seen = [(one["method"], one["text"], one["status"]) for one in report["sent"] if one["id"] == wallet]
    assert seen == [("GET", False, 200), ("POST", True, 200), ("GET", False, 200)]


def test_apollo_client_of_a_partner_cannot_register(workshop: Workshop, acme: PartnerApp) -> None:
    report = workshop.ask("apollo.mjs", acme.gateway, acme.key)
    assert report["first"]["codes"] == ["PERSISTED_QUERY_NOT_IN_LIST"]
    assert no_texts(report)


def test_urql_by_published_ids(workshop: Workshop, acme: PartnerApp, expected: tuple[str, int]) -> None:
    file = workshop.folder / "out" / "urql.json"
    file.write_text(workshop.run("urql.mjs", "--manifest"), "utf-8")
    (document_id,) = publish(acme, file)
    report = workshop.ask("urql.mjs", acme.gateway, acme.key, "only")
    assert names_and_labels(report["first"]) == names_and_labels(report["second"]) == expected
    assert report["who"]["codes"] == ["PERSISTED_QUERY_NOT_IN_LIST"], "was not published"
    assert no_texts(report)
    assert [one["id"] for one in report["sent"][:2]] == [document_id] * 2


def test_urql_with_automatic_persisted_queries(
    workshop: Workshop, demo_gateway: RunningGateway, expected: tuple[str, int]
) -> None:
    report = workshop.ask("urql.mjs", demo_gateway, demo_gateway.token())
    assert names_and_labels(report["first"]) == names_and_labels(report["second"]) == expected
    wallet = report["sent"][0]["id"]
    assert [one["text"] for one in report["sent"] if one["id"] == wallet] == [False, True, False]


def test_relay_by_what_its_compiler_made(workshop: Workshop, acme: PartnerApp, expected: tuple[str, int]) -> None:
    workshop.build("relay")
    ids = publish(acme, workshop.folder / "out" / "relay.json")
    report = workshop.ask("relay.mjs", acme.gateway, acme.key)
    assert names_and_labels(report["first"]) == expected
    assert (report["text"], [report["id"]]) == (None, ids)


def test_the_client_presets_documents(workshop: Workshop, acme: PartnerApp, expected: tuple[str, int]) -> None:
    workshop.build("codegen")
    ids = publish(acme, workshop.folder / "out" / "gql" / "persisted-documents.json")
    report = workshop.ask("codegen-client.mjs", acme.gateway, acme.key)
    assert names_and_labels(report["first"]) == expected
    assert report["who"] == {"data": {"viewer": {"partner": "acme"}}}
    assert {one["id"] for one in report["sent"]} == set(ids)
    assert all(one.startswith("sha256:") for one in ids)
