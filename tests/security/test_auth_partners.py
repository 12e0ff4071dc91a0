"""Partner apps over HTTP, added by the command as an operator does it."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from app.store.records import EventType, NewDocument
from tests.support.command import vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.sandbox import RunningSandbox

WHO = "query ($id: ID!) { viewer { partner scopes } customer(id: $id) { name links { provider } } }"
INTROSPECTION = "{ __schema { types { name } } }"


def partner(*arguments: str | Path, **env: str) -> str:
    done = vaultgraph("partner", *arguments, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_run(gateway: RunningGateway) -> dict[str, str]:
    """The environment for commands on this gateway's store."""
    return {
        "VAULTGRAPH_DIGEST_KEY": gateway.settings.digest_key.first.reveal(),
        "VAULTGRAPH_ID_KEY": gateway.settings.id_key.first.reveal(),
        "VAULTGRAPH_DATA_DIR": str(gateway.data_dir),
    }


def add(gateway: RunningGateway, name: str, *more: str) -> str:
    """Add a partner with the documents of these tests; returns its key."""
    key = partner("add", name, "--data-dir", gateway.data_dir, *more, **as_run(gateway)).split()[-1]
    new = [
        NewDocument(document_id=_id(text), text=text, sha256=_id(text), operation_kind="query", operation_name=None)
        for text in (WHO, INTROSPECTION)
    ]
    gateway.on_loop(gateway.gateway.store.documents.publish(name, new))
    return key


def _id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def seen(gateway: RunningGateway, key: str, **variables: Any) -> Any:
    reply = gateway.query(
        variables={"id": "cus_alex", **variables}, documentId=_id(WHO), headers={"authorization": f"Bearer {key}"}
    )
    return reply.status, reply.data, reply.codes


def until(gateway: RunningGateway, key: str, expected: int) -> None:
    """Wait until the key gets this status: the gateway reloads every half second."""
    give_up_at = time.monotonic() + 60
    while (status := seen(gateway, key)[0]) != expected:
        assert time.monotonic() < give_up_at, status
        time.sleep(0.05)


@pytest.fixture
def gateway(demo_gateway: RunningGateway) -> RunningGateway:
    demo_gateway.headers = {}
    return demo_gateway


def test_a_partners_life_cycle(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    key = add(gateway, "acme", "--scope", "customers:read payment_methods:read", "--scope", "explore")
    viewer = {"partner": "acme", "scopes": ["customers:read", "explore", "payment_methods:read"]}
    assert seen(gateway, key) == (200, {"viewer": viewer, "customer": None}, []), "nothing is granted until it is"
    partner("grant", "acme", "cus_alex", "--data-dir", gateway.data_dir, **as_run(gateway))
    began = time.monotonic()
    while seen(gateway, key)[1]["customer"] is None:
        assert time.monotonic() - began < 20
        time.sleep(0.05)
    _, data, codes = seen(gateway, key)
    assert (data["customer"], codes) == ({"name": "Alex Morales", "links": None}, ["FORBIDDEN"])
    assert seen(gateway, key, id="cus_sam")[1]["customer"] is None
    by_header = gateway.query(variables={"id": "cus_alex"}, documentId=_id(WHO), headers={"x-api-key": key})
    assert by_header.data["viewer"]["partner"] == "acme"

    new = partner("rotate", "acme", "--data-dir", gateway.data_dir, **as_run(gateway)).split()[-1]
    assert seen(gateway, new)[0] == seen(gateway, key)[0] == 200, "two keys while clients change over"
    newest = partner("rotate", "acme", "--data-dir", gateway.data_dir, **as_run(gateway)).split()[-1]
    until(gateway, key, 401)
    assert seen(gateway, new)[0] == seen(gateway, newest)[0] == 200

    partner("disable", "acme", "--data-dir", gateway.data_dir, **as_run(gateway))
    until(gateway, newest, 401)
    partner("enable", "acme", "--data-dir", gateway.data_dir, **as_run(gateway))
    until(gateway, newest, 200)
    assert sandbox.calls() == [], "who only asks for names costs no call"
    for secret in (key, new, newest):
        assert secret not in gateway.log
        assert not [path for path in gateway.data_dir.iterdir() if secret.encode() in path.read_bytes()]


def test_only_partners_added_for_all_customers_see_them(gateway: RunningGateway) -> None:
    key = add(gateway, "everyone", "--scope", "customers:read", "--customers", "all")
    assert seen(gateway, key)[1]["customer"] == {"name": "Alex Morales", "links": None}
    listed = partner("list", "--data-dir", gateway.data_dir, **as_run(gateway))
    (shown,) = json.loads(partner("list", "--json", "--data-dir", gateway.data_dir, **as_run(gateway)))
    assert (shown["name"], shown["customers"], shown["scopes"]) == ("everyone", "all", ["customers:read"])
    assert listed.split("\t")[:4] == ["everyone", "enabled", "1", "all"]
    assert key not in listed


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("add", "acme"), 2, "--scope"),
        (("add", "acme", "--scope", "everything"), 2, "there is no scope everything"),
        (("add", "a b", "--scope", "explore"), 2, "NAME"),
        (("add", "../x", "--scope", "explore"), 2, "NAME"),
        (("add", "acme", "--scope", "explore links:write"), 2, "--all-customers is needed for links:write"),
        (("add", "acme", "--scope", "import:write", "--customers", "granted"), 2, "needed for import:write"),
        (("rotate", "nobody"), 1, "no partner with this name"),
        (("disable", "nobody"), 1, "no partner with this name"),
        (("grant", "nobody", "cus_x"), 1, "no partner with this name"),
    ],
)
def test_errors_are_one_line(arguments: tuple[str, ...], status: int, said: str, tmp_path: Path) -> None:
    vaultgraph("migrate", "--data-dir", tmp_path)
    done = vaultgraph("partner", *arguments, "--data-dir", tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_links_and_imports_are_for_partners_of_all_customers(gateway: RunningGateway) -> None:
    where = ("--data-dir", gateway.data_dir)
    partner("add", "linker", "--scope", "links:write import:write", "--all-customers", *where, **as_run(gateway))
    older = gateway.gateway.store.clients.add("older", key_hash="x", scopes=["links:write", "customers:read"])
    gateway.on_loop(older)
    done = vaultgraph("partner", "grant", "older", "cus_alex", *where, **as_run(gateway))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 2)
    assert "older has links:write" in done.stderr
    assert gateway.on_loop(gateway.gateway.store.clients.grants("older")) == []
    listed = partner("list", *where, **as_run(gateway)).splitlines()
    assert [("without effect" in line) for line in listed] == [False, True]


def test_a_second_partner_of_the_same_name_is_refused_and_the_first_keeps_its_key(gateway: RunningGateway) -> None:
    key = add(gateway, "acme", "--scope", "customers:read")
    done = vaultgraph("partner", "add", "acme", "--scope", "explore", "--data-dir", gateway.data_dir, **as_run(gateway))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 2)
    assert seen(gateway, key)[0] == 200


def test_one_unknown_customer_grants_none(gateway: RunningGateway) -> None:
    key = add(gateway, "acme", "--scope", "customers:read")
    done = vaultgraph(
        "partner", "grant", "acme", "cus_alex", "cus_nobody", "--data-dir", gateway.data_dir, **as_run(gateway)
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 2)
    time.sleep(0.6)
    assert seen(gateway, key)[1]["customer"] is None


def test_refusals_are_in_the_audit_trail(gateway: RunningGateway) -> None:
    key = add(gateway, "acme", "--scope", "customers:read")
    for number, asked in enumerate(({"documentId": _id(WHO)}, {"documentId": _id(INTROSPECTION)}, {"text": WHO}), 1):
        headers = {"authorization": f"Bearer {key}", "x-request-id": f"refused-000{number}"}
        gateway.query(variables={"id": "cus_alex"}, headers=headers, **asked)
    gateway.query("{ __typename }", headers={"authorization": "Bearer x.y.z", "x-request-id": "refused-0004"})

    async def notes() -> list[Any]:
        await gateway.gateway.audit.flush()
        return await gateway.gateway.store.events.after(None, types=[EventType.ACCESS_REFUSED])

    found = [
        (one.request_id, one.actor, one.outcome, one.customer_id, one.detail.get("what"))
        for one in gateway.on_loop(notes())
    ]
    assert found == [
        ("refused-0001", "partner:acme", "NOT_GRANTED", "cus_alex", "Customer"),
        ("refused-0002", "partner:acme", "INTROSPECTION_DISABLED", None, None),
        ("refused-0003", "partner:acme", "PERSISTED_QUERY_ID_REQUIRED", None, None),
        (None, "anonymous", "UNAUTHENTICATED", None, None),  # counted
    ]
    page = gateway.request("GET", "/metrics").raw.decode()
    assert 'vaultgraph_refusals_total{caller="anonymous",code="UNAUTHENTICATED"} 1.0' in page
    assert 'vaultgraph_refusals_total{caller="partner",code="NOT_GRANTED"} 1.0' in page


def test_a_missing_store_is_created_only_on_request(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    add = ["partner", "add", "acme", "--scope", "explore", "--data-dir", folder]
    refused = vaultgraph(*add)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"there is no store at {folder}/vaultgraph.db" in refused.stderr
    assert "--create" in refused.stderr
    assert not folder.exists()
    made = vaultgraph(*add, "--create")
    assert made.returncode == 0, made.stderr
    assert made.stderr == f"store: {folder}/vaultgraph.db\n"
    listed = vaultgraph("partner", "list", "--data-dir", folder)
    assert (listed.returncode, listed.stderr) == (0, made.stderr)
