"""A vault installed as a package appears everywhere the built-in ones do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = "tests.support.toy.spec:SPEC"
KEYS = {
    "VAULTGRAPH_ID_KEY": "an id key that only this test has 01234567",
    "VAULTGRAPH_DIGEST_KEY": "a digest key of this test 0123456789012345",
    "VAULTGRAPH_MODE": "development",
}
ENABLED = {"VAULTGRAPH_TOY__ENABLED": "true", "VAULTGRAPH_TOY__BASE_URL": "http://127.0.0.1:9/"}
TOY = {**KEYS, **ENABLED, "VAULTGRAPH_TOY__API_KEY": "k"}
VAULTS = ["LOANPRO", "ALOHA", "JPMORGAN", "CASELLE"]

_GATEWAY = """
import asyncio, json, sys
from pathlib import Path
from app.api.auth import development
from app.main import Gateway
from app.settings.model import load_settings
from app.vault.enums import CustomerRef, LinkProof, ProviderName
from tests.support.asgi import call

QUERY = '''{
  providers { provider displayName enabled capabilities addVia }
  __type(name: "Provider") { enumValues { name } }
  customer(id: "cus_toy") { paymentMethods { provider last4 } sources { provider state } }
}'''

async def main(folder):
    tokens = development.DevTokens.open(folder)
    auth = {"issuer": development.ISSUER, "audience": [development.AUDIENCE], "jwks_path": str(tokens.jwks_path)}
    gateway = Gateway(load_settings(None, data_dir=str(folder), auth=auth, gate={"hosts": ["sandbox.test"]}))
    await gateway.start()
    directory = gateway.store.directory
    await directory.create(customer_id="cus_toy", external_id="toy", first_name="A", last_name="B", email=None)
    toy, ref, proof = ProviderName("toy"), CustomerRef("1"), LinkProof.TRUSTED_BACKEND
    await directory.link("cus_toy", toy, ref, proof=proof, linked_by="test")
    headers = {"authorization": f"Bearer {tokens.mint()}"}
    reply = await call(gateway.app, "POST", "/graphql", json={"query": QUERY}, headers=headers)
    await gateway.stop()
    print(json.dumps([gateway.settings.provider_precedence, reply.json()]))

asyncio.run(main(Path(sys.argv[1])))
"""


def installed(folder: Path, **names: str) -> dict[str, str]:
    """The environment of a process with a package with these entry points on its path."""
    info = folder / "site" / "toy_vault-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-vault\nVersion: 1.0\n", "utf-8")
    lines = [f"{name} = {value}" for name, value in names.items()]
    (info / "entry_points.txt").write_text("\n".join(["[vaultgraph.providers]", *lines, ""]), "utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(info.parent), str(ROOT)])}


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run("-c", "from app.cli.main import main; main()", *arguments, **env)


def test_check_tries_it_and_names_its_settings(tmp_path: Path) -> None:
    site = installed(tmp_path, toy=SPEC)
    off, lacking, right = (command("check", **site, **env) for env in (KEYS, KEYS | ENABLED, TOY))
    assert [line.split(maxsplit=1) for line in right.stdout.splitlines()][-1] == ["toy", "ok"], right.stderr
    assert lacking.stdout.splitlines()[-1].endswith("missing: set toy.api_key")
    assert off.stdout.splitlines()[-1].endswith("disabled (toy.enabled is false)")
    assert (off.returncode, lacking.returncode, right.returncode) == (0, 1, 0)


def test_the_schema_has_its_name_and_its_input(tmp_path: Path) -> None:
    sdl = command("schema", **installed(tmp_path, toy=SPEC)).stdout
    committed = (ROOT / "schema.graphql").read_text("utf-8")
    added = set(sdl.splitlines()) - set(committed.splitlines())
    assert {line.strip() for line in added if line.strip()} >= {
        "TOY",
        "toyToken: ToyTokenInput",
        "input ToyTokenInput {",
    }
    assert set(committed.splitlines()) <= set(sdl.splitlines())


def test_a_gateway_lists_it_and_reads_from_it(tmp_path: Path) -> None:
    done = run("-c", _GATEWAY, str(tmp_path), **installed(tmp_path, toy=SPEC), **TOY)
    assert done.returncode == 0, done.stderr
    precedence, reply = json.loads(done.stdout.splitlines()[-1])
    assert precedence == ["loanpro", "jpmorgan", "caselle", "aloha", "toy"]
    assert "errors" not in reply, reply
    data = reply["data"]
    assert [row["provider"] for row in data["providers"]] == [*VAULTS, "TOY"]
    assert data["providers"][-1] == {
        "provider": "TOY",
        "displayName": "Toy Vault",
        "enabled": True,
        "capabilities": ["LIST", "ADD"],
        "addVia": ["PROVIDER_TOKEN"],
    }
    assert [one["name"] for one in data["__type"]["enumValues"]] == [*VAULTS, "TOY"]
    assert data["customer"] == {
        "paymentMethods": [{"provider": "TOY", "last4": "4242"}],
        "sources": [*({"provider": one, "state": "DISABLED"} for one in VAULTS), {"provider": "TOY", "state": "OK"}],
    }


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("loanpro", SPEC, "vaultgraph.providers: two vaults are named loanpro"),
        ("Toy", SPEC, "vaultgraph.providers: a vault's name is 2 to 16 small letters and digits"),
        ("other", SPEC, f"vaultgraph.providers: other ({SPEC}) cannot be loaded: 'toy' is not a valid ProviderName"),
        ("toy", "tests.support.toy.spec:NAME", "is no ProviderSpec of that name"),
    ],
)
def test_an_invalid_vault_package_is_refused_by_name(name: str, value: str, said: str, tmp_path: Path) -> None:
    done = command("check", **installed(tmp_path, **{name: value}), **KEYS)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
