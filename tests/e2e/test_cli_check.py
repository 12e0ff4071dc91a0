"""`vaultgraph check` and `vaultgraph serve`: settings from a file, the environment and secret files."""

import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from app.api.auth import development
from tests.support.certificates import mutual_tls
from tests.support.command import Running, vaultgraph
from tests.support.leaks import found_in
from tests.support.sandbox import RunningSandbox

KEY = "key-of-the-tests-" + "k" * 32


def settings_of(sandbox: RunningSandbox) -> dict[str, Any]:
    """All settings of a deployment, as read from `GET /__sandbox/credentials`."""
    shown = sandbox.credentials()
    lower = {name: {key.lower(): value for key, value in entry["headers"].items()} for name, entry in shown.items()}
    return {
        "id_key": KEY,
        "digest_key": KEY[::-1] + "d",
        "loanpro": {
            "enabled": True,
            "base_url": shown["loanpro"]["base_url"],
            "api_token": lower["loanpro"]["authorization"].removeprefix("Bearer "),
            "instance_id": lower["loanpro"]["autopal-instance-id"],
        },
        "aloha": {
            "enabled": True,
            "base_url": shown["aloha"]["base_url"],
            "username": shown["aloha"]["username"],
            "password": shown["aloha"]["password"],
            "company_code": lower["aloha"]["x-api-companycode"],
        },
        "jpmorgan": {
            "enabled": True,
            "base_url": shown["jpmorgan"]["base_url"],
            "token_url": shown["jpmorgan"]["token_url"],
            "client_id": shown["jpmorgan"]["client_id"],
            "client_secret": shown["jpmorgan"]["client_secret"],
            "merchant_identifier": lower["jpmorgan"]["merchantidentifier"],
        },
        "caselle": {
            "enabled": True,
            "base_url": shown["caselle"]["base_url"],
            "token_url": shown["caselle"]["token_url"],
            "client_id": shown["caselle"]["client_id"],
            "client_secret": shown["caselle"]["client_secret"],
            "payment_account_uid": lower["caselle"]["x-payment-account-uid"],
        },
    }


def toml(values: dict[str, Any]) -> str:
    plain = [f"{name} = {json.dumps(value)}" for name, value in values.items() if not isinstance(value, dict)]
    sections = [f"\n[{name}]\n{toml(value)}" for name, value in values.items() if isinstance(value, dict)]
    return "\n".join([*plain, *sections])


def written(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "vaultgraph.toml"
    path.write_text(toml(values), "utf-8")
    return path


def checked(folder: Path, values: dict[str, Any], **env: str) -> tuple[int, dict[str, str]]:
    done = vaultgraph("check", "--config", written(folder, values), "--data-dir", folder / "data", **env)
    assert done.stderr == ""
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert len(lines) == len(done.stdout.splitlines()), "one line each"
    return done.returncode, lines


def with_changes(values: dict[str, Any], vault: str, changes: dict[str, Any]) -> dict[str, Any]:
    return {**values, vault: {**values[vault], **changes}}


def test_right_credentials_are_ok(sandbox: RunningSandbox, tmp_path: Path) -> None:
    status, lines = checked(tmp_path, settings_of(sandbox))
    vaults = {name: line for name, line in lines.items() if name not in ("gateway", "store")}
    assert vaults == dict.fromkeys(("loanpro", "aloha", "jpmorgan", "caselle"), "ok")
    assert list(lines) == ["gateway", "store", "loanpro", "aloha", "jpmorgan", "caselle"]
    assert status == (0 if lines["gateway"] == "ok" else 1)


WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("loanpro", {"api_token": "wrong"}, ["loanpro.api_token"]),
    ("loanpro", {"instance_id": "999"}, ["loanpro.instance_id"]),
    ("loanpro", {"base_url": "http://127.0.0.1:9"}, ["loanpro.base_url"]),
    ("loanpro", {"base_url": "SANDBOX/nothing"}, ["loanpro.base_url"]),
    ("loanpro", {"base_url": "nonsense"}, ["loanpro.base_url"]),
    ("aloha", {"username": "wrong"}, ["aloha.username"]),
    ("aloha", {"password": "wrong"}, ["aloha.password"]),
    ("aloha", {"company_code": "NOPE001"}, ["aloha.company_code"]),
    ("aloha", {"base_url": "SANDBOX/nothing"}, ["aloha.base_url"]),
    ("aloha", {"base_url": "SANDBOX/aloha/api"}, ["aloha.base_url"]),
    ("jpmorgan", {"client_id": "wrong"}, ["jpmorgan.client_id"]),
    ("jpmorgan", {"client_secret": "wrong"}, ["jpmorgan.client_secret"]),
    ("jpmorgan", {"token_url": "http://127.0.0.1:9/t"}, ["jpmorgan.token_url"]),
    ("jpmorgan", {"token_url": "SANDBOX/nothing"}, ["jpmorgan.token_url"]),
    ("jpmorgan", {"merchant_identifier": "000000000001"}, ["jpmorgan.merchant_identifier"]),
    ("jpmorgan", {"base_url": "SANDBOX/nothing"}, ["jpmorgan.base_url"]),
    ("jpmorgan", {"client_secret": "", "private_key": "nonsense"}, ["jpmorgan.private_key"]),
    ("caselle", {"client_id": "wrong"}, ["caselle.client_id"]),
    ("caselle", {"client_secret": "wrong"}, ["caselle.client_secret"]),
    ("caselle", {"scope": "wrong"}, ["caselle.scope"]),
    ("caselle", {"payment_account_uid": "pa_wrong"}, ["caselle.payment_account_uid"]),
    ("caselle", {"base_url": "SANDBOX/nothing"}, ["caselle.base_url"]),
    ("loanpro", {"api_token": "", "instance_id": ""}, ["loanpro.api_token", "loanpro.instance_id"]),
    ("jpmorgan", {"client_secret": ""}, ["jpmorgan.client_secret or jpmorgan.private_key"]),
]


@pytest.mark.parametrize(
    ("vault", "changes", "named"), WRONG, ids=[f"{v}-{'-'.join(c)}-{i}" for i, (v, c, _) in enumerate(WRONG)]
)
def test_errors_name_the_setting_to_correct(
    vault: str, changes: dict[str, Any], named: list[str], sandbox: RunningSandbox, tmp_path: Path
) -> None:
    wrong = {name: value.replace("SANDBOX", sandbox.url) for name, value in changes.items()}
    status, lines = checked(tmp_path, with_changes(settings_of(sandbox), vault, wrong))
    assert status == 1
    assert [name for name in named if name not in lines[vault]] == [], lines[vault]
    others = {name: line for name, line in lines.items() if name not in ("gateway", vault)}
    assert set(others.values()) == {"ok"}


def test_a_vault_behind_a_proxy_and_its_token_endpoint_are_called_through_it(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """The sandbox accepts requests in a proxy's form; nothing listens at the addresses themselves."""
    section = settings_of(sandbox)["caselle"]
    hidden = {
        name: section[name].replace(sandbox.url, "http://caselle.localhost:9") for name in ("base_url", "token_url")
    }
    _, lines = checked(tmp_path, with_changes(settings_of(sandbox), "caselle", {**hidden, "proxy": sandbox.url}))
    assert lines["caselle"] == "ok (over aiohttp: caselle.proxy is set)"


def test_disabled_vaults_are_listed_as_disabled(sandbox: RunningSandbox, tmp_path: Path) -> None:
    values = with_changes(settings_of(sandbox), "aloha", {"enabled": False})
    _, lines = checked(tmp_path, values)
    assert lines["aloha"] == "disabled (aloha.enabled is false)"
    done = vaultgraph("check", "--json", "--config", written(tmp_path, values), "--data-dir", tmp_path / "data")
    shown = {row["name"]: (row["ok"], row["outcome"]) for row in json.loads(done.stdout)}
    assert (shown["aloha"], shown["caselle"]) == ((True, lines["aloha"]), (True, "ok"))
    assert "aloha" not in {row["provider"] for row in sandbox.calls()}


def test_the_environment_and_secret_files_win_over_the_file(sandbox: RunningSandbox, tmp_path: Path) -> None:
    values = settings_of(sandbox)
    secret = tmp_path / "secret"
    secret.write_text(values["caselle"]["client_secret"] + "\n")
    secret.chmod(0o600)
    broken = with_changes(values, "aloha", {"password": "wrong"})
    del broken["caselle"]["client_secret"]
    del broken["jpmorgan"]["client_id"]
    _, lines = checked(
        tmp_path,
        broken,
        VAULTGRAPH_ALOHA__PASSWORD=values["aloha"]["password"],
        VAULTGRAPH_JPMORGAN__CLIENT_ID=settings_of(sandbox)["jpmorgan"]["client_id"],
        VAULTGRAPH_CASELLE__CLIENT_SECRET_FILE=str(secret),
    )
    assert {line for name, line in lines.items() if name != "gateway"} == {"ok"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("this is no toml", "settings file"),
        ("[loanpro]\nnonsense = 1\n", "loanpro.nonsense"),
        ("[loanpro]\ndeadline_s = 'soon'\n", "loanpro.deadline_s"),
        ("[loanpro]\napi_token_file = '/nowhere/at/all'\n", "loanpro.api_token_file"),
        ("port = 70000\n", "port"),
        ("loanpro = 5\n", "loanpro"),
    ],
)
@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_wrong_setting_is_one_line_with_its_name(command: str, text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "vaultgraph.toml"
    path.write_text(text)
    done = vaultgraph(command, "--config", path, "--data-dir", tmp_path / "data")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vaultgraph: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert named in done.stderr
    assert "soon" not in done.stderr, "names, never values"
    assert "70000" not in done.stderr


def test_serve_names_what_is_missing(sandbox: RunningSandbox, tmp_path: Path) -> None:
    values = settings_of(sandbox)
    del values["id_key"]
    del values["loanpro"]["api_token"]
    done = vaultgraph("serve", "--config", written(tmp_path, values), "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "id_key" in done.stderr
    assert "loanpro.api_token" in done.stderr


def test_serve_without_any_settings_names_what_is_missing(tmp_path: Path) -> None:
    done = vaultgraph("serve", "--data-dir", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    for name in ("id_key", "digest_key", "auth.jwks_url", "auth.issuer", "auth.audience", "gate.cors_origins"):
        assert name in done.stderr


def test_serve_from_a_file_the_environment_and_secret_files(sandbox: RunningSandbox, tmp_path: Path) -> None:
    values = settings_of(sandbox)
    (tmp_path / "loanpro-token").write_text(values["loanpro"].pop("api_token") + "\n")
    (tmp_path / "loanpro-token").chmod(0o600)
    values["loanpro"]["api_token_file"] = str(tmp_path / "loanpro-token")
    company = values["aloha"].pop("company_code")
    token = vaultgraph("token", "--data-dir", tmp_path).stdout.split()[-1]
    values["auth"] = {
        "issuer": development.ISSUER,
        "audience": [development.AUDIENCE],
        "jwks_path": str(development.DevTokens.open(tmp_path).jwks_path),
    }
    values["gate"] = {"cors_origins": ["none"]}
    config = written(tmp_path, {**values, "port": 0})
    with Running(
        *("serve", "--data-dir", tmp_path / "data"),
        is_cold=True,
        VAULTGRAPH_CONFIG=str(config),
        VAULTGRAPH_ALOHA__COMPANY_CODE=company,
    ) as running:
        url = running.until(r"^Gateway +(http://\S+)/graphql")[1]
        with urlopen(f"{url}/readyz", timeout=10) as reply:
            assert json.load(reply) == {"status": "ready", "failing": []}
        body = json.dumps({"query": "{ __typename }"}).encode()
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        request = Request(f"{url}/graphql", body, headers)
        with urlopen(request, timeout=10) as reply:
            assert json.load(reply)["data"] == {"__typename": "Query"}
        line = running.until(r'^\{"time":.*"event":"request".*\}$')[0]
        assert json.loads(line)["status"] == 200, "a server in production logs JSON"
        assert running.stop(signal.SIGTERM) == 0
    assert "Traceback" not in running.text
    secrets = [
        values["caselle"]["client_secret"],
        values["aloha"]["password"],
        values["jpmorgan"]["client_secret"],
        KEY,
    ]
    assert not found_in(running.text.encode(), secrets=secrets)


def test_serve_names_the_setting_of_a_port_in_use(sandbox: RunningSandbox, tmp_path: Path) -> None:
    taken = int(sandbox.url.rsplit(":", 1)[1])
    config = written(tmp_path, {**settings_of(sandbox), "port": taken, "mode": "development"})
    done = vaultgraph("serve", "--config", config, "--data-dir", tmp_path / "data")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.rstrip().endswith("with the setting port")


@pytest.mark.parametrize("days", [40, -1])
def test_the_end_of_a_client_certificate_is_shown(sandbox: RunningSandbox, tmp_path: Path, days: int) -> None:
    ends = datetime.now(UTC) + timedelta(days=days)
    files = mutual_tls(tmp_path, ends).settings
    _, lines = checked(tmp_path, with_changes(settings_of(sandbox), "aloha", files))
    day = f"{ends:%Y-%m-%d}"
    valid = f"ok (client certificate valid until {day})"
    expired = f"the client certificate expired on {day}: check aloha.client_cert_file"
    assert lines["aloha"] == (valid if days > 0 else expired)
