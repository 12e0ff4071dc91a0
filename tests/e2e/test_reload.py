"""SIGHUP: secrets, keys and issuers are replaced without a restart; faulty settings change nothing."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from msgspec import structs

from app.server.reload import Reloaded, reload_settings
from app.vault.secret import Secret, Secrets
from tests.e2e.test_cli_check import settings_of, written
from tests.support.certificates import mutual_tls
from tests.support.command import Running, vaultgraph
from tests.support.gateways import StartGateway, patient
from tests.support.issuer import AUDIENCE, ISSUER, claims, ec_key, key_set, listed, token
from tests.support.leaks import found_in
from tests.support.mutating import methods, one
from tests.support.sandbox import RunningSandbox

FRESH = "a fresh key of the tests 0123456789 abcdef"


class Served:
    """`vaultgraph serve` on the sandboxes, with one issuer's keys in a file."""

    def __init__(
        self, sandbox: RunningSandbox, folder: Path, *options: str, is_cold: bool = False, **values: Any
    ) -> None:
        self.folder = folder
        self.keys = folder / "issuer.json"
        self.publish(ec_key("first"))
        self.values: dict[str, Any] = {
            **settings_of(sandbox),
            "port": 0,
            "auth": {"issuer": ISSUER, "audience": [AUDIENCE], "jwks_path": str(self.keys)},
            "gate": {"cors_origins": ["none"]},
            "log": {"format": "console"},
            **values,
        }
        self.key = ec_key("first")
        config = written(folder, self.values)
        where = ("--config", config, "--data-dir", folder / "data")
        self.running = Running("serve", *where, *options, is_cold=is_cold)
        self.url = ""

    def publish(self, key: Any) -> None:
        self.keys.write_bytes(key_set(listed(key, "k")))

    def __enter__(self) -> "Served":
        self.running.__enter__()
        self.url = self.running.until(r"^Gateway +(http://\S+)/graphql")[1]
        return self

    def __exit__(self, *error: Any) -> None:
        self.running.__exit__(*error)
        secrets = [FRESH, self.values["aloha"]["password"], self.values["id_key"]]
        texts = [text for value in secrets for text in (value if isinstance(value, list) else [value])]
        assert not found_in(self.running.text.encode(), secrets=texts)

    def reload(self, until: str = "^Reloaded +(.*)", **changes: Any) -> str:
        """Write the settings with these changes, send SIGHUP, and wait for this line."""
        for name, value in changes.items():
            self.values[name] = {**self.values[name], **value} if isinstance(value, dict) else value
        written(self.folder, self.values)
        return self.signal(until)

    def signal(self, until: str = "^Reloaded +(.*)") -> str:
        self.running.process.send_signal(signal.SIGHUP)
        return self.running.until(until)[1]

    def ask(self, query: str, bearer: str | None = None, **variables: Any) -> tuple[int, Any]:
        scope = "customers:read customers:write payment_methods:read links:read links:write explore"
        sent = bearer or token(self.key, "ES256", claims(scope=scope), kid="k")
        headers = {"content-type": "application/json", "authorization": f"Bearer {sent}"}
        body = json.dumps({"query": query, "variables": variables}).encode()
        try:
            with urlopen(Request(f"{self.url}/graphql", body, headers), timeout=30) as reply:
                return reply.status, json.load(reply)
        except HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def served(sandbox: RunningSandbox, tmp_path: Path) -> Iterator[Served]:
    with Served(sandbox, tmp_path) as running:
        yield running


def partner(served: Served) -> str:
    where = ("--config", served.folder / "vaultgraph.toml", "--data-dir", served.folder / "data")
    done = vaultgraph("partner", "add", "acme", "--scope", "explore", *where)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_keys_are_rotated_without_a_restart(served: Served) -> None:
    api_key = partner(served)
    old = served.values["digest_key"]
    assert served.reload(digest_key=[old, FRESH], id_key=[served.values["id_key"], FRESH[::-1]]) == "id_key, digest_key"
    assert served.reload(digest_key=[FRESH, old]) == "digest_key"
    for _ in range(2):
        status, body = served.ask("{ __typename }", api_key)
        codes = [error["extensions"]["code"] for error in body.get("errors", [])]
        assert status != 401, "the key is known; its partner may run published documents only"
        assert codes == ["PERSISTED_QUERY_ID_REQUIRED"]
    assert served.signal() == "nothing has changed"


def test_issuers_are_replaced(served: Served) -> None:
    assert served.ask("{ __typename }")[0] == 200
    served.publish(ec_key("second"))
    assert served.signal() == "nothing has changed"
    assert served.ask("{ __typename }")[0] == 401, "its key is no longer in the set"
    served.key = ec_key("second")
    assert served.ask("{ __typename }")[0] == 200
    assert served.reload(auth={"audience": ["others"]}) == "auth.audience"
    assert served.ask("{ __typename }")[0] == 401


def test_a_vaults_credentials_are_replaced(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**patient())
    sources = '{ customer(id: "cus_alex") { paymentMethods { id } sources { provider state } } }'

    def states() -> dict[str, str]:
        rows = gateway.data(sources)["customer"]["sources"]
        return {row["provider"]: row["state"] for row in rows}

    def reload(**aloha: Any) -> Reloaded | None:
        section = structs.replace(right.aloha, **aloha)
        fresh = structs.replace(right, aloha=section)
        return gateway.on_loop(reload_settings(gateway.gateway, lambda: fresh))

    right = gateway.settings
    assert states()["ALOHA"] == "OK"
    assert reload(password=Secret("wrong")) == Reloaded(("aloha.password",), ())
    assert states() == {"LOANPRO": "OK", "ALOHA": "UNAUTHORIZED", "JPMORGAN": "OK", "CASELLE": "OK"}
    assert "vaultgraph_circuit" in gateway.request("GET", "/metrics").raw.decode()
    assert reload() == Reloaded(("aloha.password",), ())
    assert states()["ALOHA"] == "OK"
    assert reload(enabled=False, max_methods=3) == Reloaded((), ("aloha.enabled", "aloha.max_methods"))
    assert states()["ALOHA"] == "OK"


def test_renewed_certificates_are_read_again(start_gateway: StartGateway, tmp_path: Path) -> None:
    files = mutual_tls(tmp_path).settings
    gateway = start_gateway(**{**patient(), "aloha": {**patient()["aloha"], **files}})
    providers = gateway.gateway.providers
    before = dict(providers)
    mutual_tls(tmp_path)  # the same files with another certificate
    assert gateway.on_loop(reload_settings(gateway.gateway, lambda: gateway.settings)) == Reloaded((), ())
    replaced = [name.value for name, vault in before.items() if providers[name] is not vault]
    assert replaced == ["aloha"]
    Path(files["client_key_file"]).write_text("nonsense")
    assert gateway.on_loop(reload_settings(gateway.gateway, lambda: gateway.settings)) is None
    assert "aloha.client_cert_file, aloha.client_key_file: no certificate and its key" in gateway.log
    assert methods(gateway, "ALOHA")


def test_ids_are_made_with_the_new_key_at_once(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**patient(fresh_for_s=60))
    (before,) = [one["id"] for one in methods(gateway, "ALOHA")][:1]
    fresh = structs.replace(gateway.settings, id_key=Secrets(FRESH, *gateway.settings.id_key.reveal()))
    assert gateway.on_loop(reload_settings(gateway.gateway, lambda: fresh)) == Reloaded(("id_key",), ())
    after = [one["id"] for one in methods(gateway, "ALOHA")]
    assert before not in after, "cached wallets hold no old ids"
    assert one(gateway, before)["id"] in after


def test_what_needs_a_restart_is_named_and_the_rest_applied(served: Served) -> None:
    old = served.values["digest_key"]
    needed = served.reload("^Restart +needed for (.*)", port=1, aloha={"deadline_s": 9.5}, digest_key=[old, FRESH])
    assert needed == "aloha.deadline_s, port"
    assert "Reloaded     digest_key" in served.running.text
    assert served.ask("{ __typename }")[0] == 200


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"digest_key": "short"}, "digest_key: it has fewer than 32 characters"),
        ({"digest_key": [FRESH, "short"]}, "digest_key, number 2: it has fewer than 32 characters"),
        ({"nonsense": 1}, "nonsense: there is no such setting"),
        ({"aloha": {"ca_file": "/nowhere"}}, "aloha.ca_file: No such file or directory"),
        ({"auth": {"jwks_path": "/nowhere"}}, "auth.jwks_path cannot be used: No such file or directory"),
    ],
)
def test_faulty_settings_change_nothing(served: Served, changes: dict[str, Any], said: str) -> None:
    before = json.loads(json.dumps(served.values))
    reason = served.reload("the settings were not reloaded, the running ones stay in force: (.*)", **changes)
    assert reason.startswith(said)
    assert served.ask("{ __typename }")[0] == 200
    served.values = before
    written(served.folder, before)
    assert served.signal() == "nothing has changed"


def test_an_unreadable_file_changes_nothing(served: Served) -> None:
    (served.folder / "vaultgraph.toml").write_text("= hunter2")
    reason = served.signal("the settings were not reloaded, the running ones stay in force: (.*) \\[vaultgraph\\]")
    assert reason == "the settings file is not valid TOML (at line 1, column 1)"
    assert served.ask("{ __typename }")[0] == 200
