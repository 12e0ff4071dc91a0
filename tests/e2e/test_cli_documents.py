"""`vaultgraph documents` and `--scope`, as run by operators and partners' CI; a running gateway reloads at once."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli.main import main
from app.settings.model import StoreSettings
from tests.support.command import on_terminal, vaultgraph
from tests.support.gateway import RunningGateway

NAME = "query Name($id: ID!) { customer(id: $id) { name } }"
VIEWER = "query Viewer { viewer { partner } }"
BROKEN = "query Broken {\n  nothing\n}"
LINKS = "query Links($id: ID!) { customer(id: $id) { links { provider } } }"
SCHEMA = Path(__file__).resolve().parents[2] / "schema.graphql"


def invoked(*words: str | Path, env: Mapping[str, str] | None = None) -> Result:
    """Run a command in this process: starting one takes longer than most commands."""
    return CliRunner().invoke(main, [str(word) for word in words], env=env)


class Operator:
    """Runs commands on one gateway's store, as its operator would."""

    def __init__(self, gateway: RunningGateway, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self.env = {"VAULTGRAPH_DIGEST_KEY": gateway.settings.digest_key.first.reveal()}

    def run(self, *arguments: str | Path) -> tuple[int, list[str], list[str]]:
        done = invoked(*arguments, "--data-dir", self.gateway.data_dir, env=self.env)
        store = f"store: {self.gateway.data_dir}/vaultgraph.db"
        # The gateway runs in this process too: lines of its log may be written while a command runs.
        result = [line for line in done.stderr.splitlines() if line != store and "request_id=" not in line]
        return done.exit_code, done.stdout.splitlines(), result

    def file(self, documents: Any) -> Path:
        path = self.folder / "documents.json"
        path.write_text(json.dumps(documents), "utf-8")
        return path

    def add(self, name: str, *more: str) -> str:
        status, out, _ = self.run("partner", "add", name, "--scope", "customers:read", "payment_methods:read", *more)
        assert status == 0
        return out[-1].split()[-1]


@pytest.fixture
def operator(demo_gateway: RunningGateway, tmp_path: Path) -> Operator:
    demo_gateway.headers = {}
    return Operator(demo_gateway, tmp_path)


def codes(operator: Operator, key: str, document_id: str) -> list[str]:
    variables = {"id": "cus_alex"}
    return operator.gateway.query(None, variables, documentId=document_id, headers={"x-api-key": key}).codes


def until(operator: Operator, key: str, document_id: str, expected: list[str]) -> None:
    """The gateway polls every half second; on a busy machine a response takes longer than that."""
    give_up_at = time.monotonic() + 60
    while codes(operator, key, document_id) != expected:
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_publishing_and_retiring_while_the_gateway_runs(operator: Operator) -> None:
    key = operator.add("acme", "--customers", "all")
    assert codes(operator, key, "name") == ["PERSISTED_QUERY_NOT_IN_LIST"]
    file = operator.file({"name": NAME, "viewer": VIEWER})
    assert operator.run("documents", "diff", "acme", file)[1] == [
        "+ Name name",
        "+ Viewer viewer",
        "2 differences, 0 live.",
    ]
    result = operator.run("documents", "publish", "acme", file)
    assert result == (0, ["Published for acme, version 1: 2 new, 0 unchanged, 0 retired."], [])
    until(operator, key, "name", [])
    assert codes(operator, key, "viewer") == []

    other = operator.file({"name": VIEWER, "links": NAME})
    status, _, faults = operator.run("documents", "publish", "acme", other)
    assert (status, faults[0]) == (1, "documents.json: name: is published with another text")
    assert operator.run("documents", "diff", "acme", other)[1] == [
        "+ Name links",
        "~ Viewer name",
        "- Viewer viewer",
        "3 differences, 2 live.",
    ]
    result = operator.run("documents", "publish", "acme", other, "--replace")
    assert result[1] == ["Published for acme, version 2: 2 new, 0 unchanged, 1 retired."]
    until(operator, key, "viewer", ["PERSISTED_QUERY_NOT_IN_LIST"])

    assert operator.run("documents", "retire", "acme", "links") == (0, ["retired links"], [])
    until(operator, key, "links", ["PERSISTED_QUERY_NOT_IN_LIST"])
    status, _, faults = operator.run("documents", "retire", "acme", "links")
    assert (status, faults) == (1, ["vaultgraph: not published for acme: links; see `vaultgraph documents list acme`"])

    operator.gateway.on_loop(operator.gateway.gateway.documents.catalogue.flush())
    (live,) = operator.run("documents", "list", "acme", "--usage")[1]
    assert live.startswith("acme\tViewer\tquery\t0\t2\tname\t")
    (shown,) = json.loads("\n".join(operator.run("documents", "list", "acme", "--json")[1]))
    assert (shown["id"], shown["operation"], shown["version"]) == ("name", "Viewer", 2)
    everything = operator.run("documents", "list", "acme", "--usage", "--retired")[1]
    used = {line.split("\t")[5]: int(line.split("\t")[7]) for line in everything}
    assert set(used) == {"name", "viewer", "links"}
    assert all(used.values())


def test_publications_are_polled_at_least_once_a_second() -> None:
    assert StoreSettings().poll_s <= 0.5


def test_a_file_with_faults_is_refused_with_one_line_per_fault(operator: Operator) -> None:
    operator.add("acme")
    file = operator.file({"name": NAME, "broken": BROKEN, "links": LINKS, "bad id": NAME})
    status, out, faults = operator.run("documents", "publish", "acme", file)
    assert (status, out) == (1, [])
    assert faults == [
        "documents.json: entry 4: An id is 1 to 200 letters, digits, and . _ : -.",
        "documents.json:2:3: broken: Cannot query field 'nothing' on type 'Query'.",
        "documents.json: links: needs the scope links:read",
        "vaultgraph: 3 faults: nothing was published",
    ]
    assert operator.run("documents", "list", "acme") == (0, [], [])


def test_a_secret_in_a_text_is_never_published(operator: Operator) -> None:
    operator.add("acme", "payment_methods:write")
    text = """mutation Add { addPaymentMethod(input: {customerId: "cus_alex", idempotencyKey: "0123456789abcdef",
        method: {caselleToken: {card: {fingerprint: "fp-secret", last4: "11111", expiry: {month: 1, year: 2031},
        bin: "411111", brand: VISA, holderName: "Alex"}}}}) { userErrors { code } } }"""
    status, _, faults = operator.run("documents", "publish", "acme", operator.file({"add": text}))
    assert status == 1
    assert (
        "documents.json:2:40: add: A sensitive value must be sent in a variable, not in the document's text." in faults
    )
    assert not any("fp-secret" in line or "11111" in line for line in faults), faults


def test_an_unknown_partner(operator: Operator) -> None:
    for command in (
        ["publish", "nobody", operator.file({"name": NAME})],
        ["list", "nobody"],
        ["retire", "nobody", "x"],
    ):
        status, _, faults = operator.run("documents", *command)
        assert (status, len(faults)) == (1, 1)
        assert "no partner with this name" in faults[0]


def test_check_needs_no_store_and_no_settings(tmp_path: Path) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "name.graphql").write_text(NAME)
    queries = tmp_path / "queries"
    done = vaultgraph("documents", "check", queries, "--schema", SCHEMA, "--scope", "customers:read", "links:read")
    result = "Name: price 4: at most 4 vault calls, 0 more for single payment methods, 2 response fields\n"
    assert (done.returncode, done.stdout) == (0, f"{result}1 documents can be published.\n"), done.stderr
    done = invoked("documents", "check", "--scope", "links:read", "audit:read", queries)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[0] == "name.graphql: Name: needs the scope customers:read"
    (tmp_path / "queries" / "broken.graphql").write_text(BROKEN)
    done = invoked("documents", "check", queries)
    assert done.stderr.splitlines()[0] == "broken.graphql:2:3: Broken: Cannot query field 'nothing' on type 'Query'."
    assert not list(tmp_path.rglob("*.db"))


def test_a_long_file_shows_its_progress_on_a_terminal(operator: Operator) -> None:
    operator.add("acme")
    many = {f"d{number}": f"query D{number} {{ viewer {{ partner }} }}" for number in range(250)}
    publish = ["documents", "publish", "acme", operator.file(many)]
    published = "Published for acme, version 1: 250 new, 0 unchanged, 0 retired."
    shown = on_terminal(*publish, "--data-dir", operator.gateway.data_dir, **operator.env)
    assert "Checking" in shown
    assert "250/250" in shown
    assert published in shown
    again = "Published for acme, version 2: 0 new, 250 unchanged, 0 retired."
    assert operator.run(*publish) == (0, [again], [])


@pytest.mark.parametrize(
    "words",
    [
        ["acme", "--scope", "customers:read", "payment_methods:read", "--customers", "all"],
        ["--scope", "customers:read", "payment_methods:read", "acme"],
        ["--scope", "customers:read,payment_methods:read", "acme"],
        ["--scope=customers:read", "payment_methods:read", "--", "acme"],
        ["--scope", "customers:read", "--scope", "payment_methods:read", "acme"],
        ["acme", "--scope", "customers:read payment_methods:read"],
    ],
)
def test_scopes_repeat_and_follow_one_another(words: list[str], tmp_path: Path) -> None:
    done = invoked("partner", "add", "--create", "--data-dir", tmp_path, *words)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[0] == "Partner acme may: customers:read, payment_methods:read"
    assert done.stdout.splitlines()[-1].split()[-1].startswith("vg_")


def test_an_unknown_scope_is_named(tmp_path: Path) -> None:
    done = invoked("partner", "add", "acme", "--data-dir", tmp_path, "--scope", "customers:read", "customers:raed")
    assert done.exit_code == 2
    assert "there is no scope customers:raed" in done.stderr


def test_mutations_for_agents_are_named_at_publishing(operator: Operator) -> None:
    operator.add("acme", "--all-customers")
    assert operator.run("partner", "change", "acme", "--scope", "customers:read", "payment_methods:write")[0] == 0
    delete = "mutation %s($input: DeletePaymentMethodInput!) { deletePaymentMethod(input: $input) { deletedId } }"
    changes = "subscription Changes($id: ID!) { customerEvents(customerId: $id) { id } }"
    file = operator.file({"n": NAME, "d1": delete % "Delete", "d2": delete % "Bare", "s": changes})

    def agents() -> dict[str, bool]:
        status, out, _ = operator.run("documents", "list", "acme", "--json")
        assert status == 0
        return {row["operation"]: row["agents"] for row in json.loads("".join(out))}

    publish = ("documents", "publish", "acme", file)
    status, _, errors = operator.run(*publish, "--agents", "Delete,Changes", "--agents", "Other")
    assert status == 1
    assert errors[:-1] == [
        "documents.json: Other: is not in the file",
        "documents.json: Changes: agents cannot subscribe",
    ]
    assert operator.run(*publish, "--agents", "d1")[0] == 0
    assert agents() == {"Name": True, "Delete": True, "Bare": False, "Changes": False}
    assert operator.run(*publish)[0] == 0
    assert agents()["Delete"] is True
    assert operator.run(*publish, "--replace")[0] == 0
    assert agents()["Delete"] is False
    assert operator.run(*publish, "--agents", "Delete", "--agents", "Name")[0] == 0
    assert agents()["Delete"] is True
