"""`vaultgraph dev` receives the sandbox's webhooks; `vaultgraph webhooks` lists and replays dead letters."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from app.store import Store, migrate
from app.store.records import NewDelivery
from tests.support.command import Running, vaultgraph
from tests.support.waiting import eventually


def ask(url: str, body: Any, token: str = "") -> Any:
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=10) as reply:
        return json.load(reply)


def test_dev_receives_the_sandboxs_webhooks(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with Running("dev", "--port", "0", "--sandbox-port", "0", "--data-dir", folder) as running:
        gateway = running.until(r"^Gateway +(http://\S+)/graphql")[1]
        sandbox = running.until(r"^Sandboxes +(http://\S+)")[1]
        token = vaultgraph("token", "--data-dir", folder).stdout.strip()
        with urlopen(f"{sandbox}/__sandbox/customers/caselle/cus_88420", timeout=10) as reply:
            method = json.load(reply)[0]["ref"]
        asked = {"provider": "caselle", "saved_payment_method_ids": [method], "exp_month": 7, "exp_year": 2034}
        ask(f"{sandbox}/__sandbox/noc", asked)
        query = {"query": '{ customer(id: "cus_alex") { events { edges { node { type origin provider } } } } }'}

        def result() -> Any:
            edges = ask(f"{gateway}/graphql", query, token)["data"]["customer"]["events"]["edges"]
            return [edge["node"] for edge in edges if edge["node"]["origin"] == "PROVIDER_WEBHOOK"]

        assert eventually(result, "the event") == [
            {"type": "METHOD_UPDATED", "origin": "PROVIDER_WEBHOOK", "provider": "CASELLE"}
        ]


def keep_a_dead_one(folder: Path) -> str:
    async def keep() -> str:
        folder.mkdir()
        store = Store.open(f"sqlite:///{folder / 'vaultgraph.db'}")
        await migrate(store.engine)
        try:
            new = NewDelivery(
                source="caselle",
                account="pa_1",
                delivery_id="evt_1",
                event_type="provider.noc",
                lane="caselle",
                body={"secretive": "spm_1"},
            )
            await store.deliveries.add(new)
            (claimed,) = await store.deliveries.claim("worker", lease=timedelta(minutes=1))
            assert await store.deliveries.dead(claimed.id, "worker", error="UNAVAILABLE")
            return claimed.id
        finally:
            await store.close()

    return asyncio.run(keep())


def test_dead_letters_are_listed_and_replayed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    dead = keep_a_dead_one(folder)
    listed = vaultgraph("webhooks", "list", "--data-dir", folder)
    assert (listed.returncode, listed.stderr.count("\n")) == (0, 1)
    assert [line.split("\t")[0:2] for line in listed.stdout.splitlines()] == [[dead, "DEAD"]]
    assert listed.stdout.rstrip().endswith("caselle/pa_1\tprovider.noc\t1\tUNAVAILABLE")
    assert "spm_1" not in listed.stdout
    (shown,) = json.loads(vaultgraph("webhooks", "list", "--json", "--data-dir", folder).stdout)
    assert (shown["id"], shown["state"], shown["attempts"], shown["error"]) == (dead, "DEAD", 1, "UNAVAILABLE")
    again = vaultgraph("webhooks", "replay", dead, "--data-dir", folder)
    assert (again.returncode, again.stdout) == (0, "1 delivery due again\n")
    assert vaultgraph("webhooks", "list", "--data-dir", folder).stdout == ""
    due = vaultgraph("webhooks", "list", "--state", "received", "--data-dir", folder).stdout
    assert due.split("\t")[:2] == [dead, "RECEIVED"]
    refused = vaultgraph("webhooks", "replay", dead, "rcp_none", "--data-dir", folder)
    assert (refused.returncode, refused.stderr.split("\n", 1)[1]) == (
        1,
        f"vaultgraph: unknown, or neither dead nor done: {dead}, rcp_none; see `vaultgraph webhooks list`\n",
    )
    assert vaultgraph("webhooks", "replay", "--data-dir", folder).returncode == 2
