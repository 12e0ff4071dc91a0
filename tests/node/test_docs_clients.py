"""The client guide's blocks for JavaScript, run as they stand against a gateway with demo customers."""

import re
from pathlib import Path

import pytest

from tests.node.test_clients import Workshop
from tests.support.command import vaultgraph
from tests.support.gateway import RunningGateway

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:8000/graphql"
BEFORE = 'globalThis.WebSocket ??= (await import("ws")).default; setTimeout(() => process.exit(3), 60_000).unref();\n'
AFTER = {
    "Apollo Client": """
        let heard = false;
        changed.then(() => (heard = true));
        for (let i = 0; !heard; i++) {  // until the subscription has begun
          const change = { ...input, paymentMethodId: methods[i % 2].id, idempotencyKey: crypto.randomUUID() };
          await client.mutate({ mutation: CHOOSE, variables: { input: change } });
        }
        console.log(JSON.stringify({ missing, count: methods.length, shown: shown === chosen.id, userErrors,
          state: operation.state, event: await changed, after: after !== undefined }));
        process.exit(0);""",
    "urql": """
        const wallet = await client.query(
          gql`{ customer(id: "cus_alex") { paymentMethods { id } } }`, {}).toPromise();
        const methods = wallet.data.customer.paymentMethods;
        const chosen = await choose(methods.at(-1).id);
        let heard = false;
        changed.then(() => (heard = true));
        for (let i = 0; !heard; i++) await choose(methods[i % 2].id);
        console.log(JSON.stringify({ name: data.customer.name, error: error ?? null,
          state: chosen.data.setDefaultPaymentMethod.operation.state, event: await changed }));
        process.exit(0);""",
    "Relay": """
        const ask = (text) =>
          environment.getNetwork().execute({ name: "Wallet", text }, { id: "cus_alex" }, { force: true }).toPromise();
        const { data } = await ask("query Wallet($id: ID!) { customer(id: $id) { name } }");
        const code = await ask("{ unknown }").catch((error) => error.message);
        console.log(JSON.stringify({ name: data.customer.name, code }));""",
}
PRINTED = {
    "Apollo Client": (
        '{"missing":[],"count":9,"shown":true,"userErrors":[],"state":"SUCCEEDED","event":"DEFAULT_CHANGED","after":true}'
    ),
    "urql": '{"name":"Alex Morales","error":null,"state":"SUCCEEDED","event":"DEFAULT_CHANGED"}',
    "Relay": '{"name":"Alex Morales","code":"GRAPHQL_VALIDATION_FAILED"}',
}

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(400)]


def blocks(heading: str) -> str:
    page = (ROOT / "docs" / "clients.md").read_text("utf-8")
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"```js\n(.*?)```", section, re.DOTALL))


@pytest.mark.parametrize("client", AFTER)
def test_the_guide(client: str, demo_gateway: RunningGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = Workshop(tmp_path / "clients")
    (workshop.folder / "apollo.json").write_text(vaultgraph("schema", "--client", "apollo").stdout, "utf-8")
    code = blocks(client)
    assert ADDRESS in code
    text = BEFORE + code.replace(ADDRESS, f"{demo_gateway.url}/graphql") + AFTER[client]
    (workshop.folder / "guide.mjs").write_text(text, "utf-8")
    monkeypatch.setenv("TOKEN", demo_gateway.token())
    assert workshop.run("guide.mjs").strip() == PRINTED[client]
