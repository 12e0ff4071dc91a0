"""Where settings come from, which layer wins, and that no error shows a value."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields

from app.errors import SettingsError
from app.settings.json_schema import settings_schema
from app.settings.model import Settings, load_settings
from app.settings.parse import Section
from app.settings.required import missing_settings, unsafe_settings, warnings_of
from app.vault.secret import Secret, Secrets

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "settings.schema.json"
ORIGIN = "Expected origins, as https://app.example: a scheme, a host (no wildcard), no path"
NETWORK = "Expected an IP address or a network, as 10.0.0.0/8 or 2001:db8::/32"


def loaded(toml: str = "", environ: dict[str, str] | None = None, *, folder: Path, **overrides: Any) -> Settings:
    path = folder / "vaultgraph.toml"
    path.write_text(toml, "utf-8")
    return load_settings(path, environ or {}, **overrides)


def refusal(toml: str = "", environ: dict[str, str] | None = None, *, folder: Path, **overrides: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        loaded(toml, environ, folder=folder, **overrides)
    return str(refused.value)


def test_nothing_set_is_the_defaults(tmp_path: Path) -> None:
    assert load_settings(None, {}) == Settings() == loaded(folder=tmp_path)


def test_the_environment_wins_over_the_file_and_the_command_over_both(tmp_path: Path) -> None:
    toml = "port = 1\nhost = 'file'\n[loanpro]\ndeadline_s = 1.5\nretries = 7\n"
    environ = {"VAULTGRAPH_PORT": "2", "VAULTGRAPH_LOANPRO__DEADLINE_S": "2.5"}
    settings = loaded(toml, environ, folder=tmp_path)
    assert (settings.port, settings.host) == (2, "file")
    assert (settings.loanpro.deadline_s, settings.loanpro.retries) == (2.5, 7)
    assert loaded(toml, environ, folder=tmp_path, port=3).port == 3


def test_the_environments_names_in_any_case_and_depth(tmp_path: Path) -> None:
    environ = {
        "vaultgraph_aloha__breaker__open_for_s": "9",
        "VAULTGRAPH_PROVIDER_PRECEDENCE": "caselle, loanpro",
        "VAULTGRAPH_CONFIG": "the command's own",
        "PATH": "/bin",
    }
    settings = loaded(environ=environ, folder=tmp_path)
    assert settings.aloha.breaker.open_for_s == 9
    assert settings.provider_precedence == ["caselle", "loanpro"]


def test_secrets_from_files(tmp_path: Path) -> None:
    for number, ending in enumerate(["", "\n", "\r\n"]):
        (tmp_path / f"secret{number}").write_text(f" s3cret {ending}", newline="")
        (tmp_path / f"secret{number}").chmod(0o600)
        settings = loaded(f"[loanpro]\napi_token_file = '{tmp_path}/secret{number}'\n", folder=tmp_path)
        assert settings.loanpro.api_token.reveal() == " s3cret "
        environ = {"VAULTGRAPH_LOANPRO__API_TOKEN_FILE": f"{tmp_path}/secret{number}"}
        assert loaded(environ=environ, folder=tmp_path) == settings


def test_keys_are_one_value_or_a_list_wherever_they_stand(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_text(f"{name}\n")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "both").write_text("first\nsecond\n")
    (tmp_path / "both").chmod(0o600)
    two = Secrets("first", "second")
    for toml in (
        "id_key = ['first', 'second']",
        "id_key = '''first\nsecond\n'''",
        f"id_key_file = ['{tmp_path}/first', '{tmp_path}/second']",
        f"id_key_file = '{tmp_path}/both'",
    ):
        assert loaded(toml, folder=tmp_path).id_key == two
    for environ in (
        {"VAULTGRAPH_ID_KEY": "first,second"},
        {"VAULTGRAPH_ID_KEY_FILE": f"{tmp_path}/both"},
        {"VAULTGRAPH_ID_KEY__10": "second", "VAULTGRAPH_ID_KEY__9": "first"},
        {"VAULTGRAPH_ID_KEY__2_FILE": f"{tmp_path}/second", "VAULTGRAPH_ID_KEY__1_FILE": f"{tmp_path}/first"},
    ):
        assert loaded("id_key = 'older'", environ, folder=tmp_path).id_key == two
    assert loaded("id_key = 'first'", folder=tmp_path).id_key == Secrets("first")
    for exact in ("id_key = ['first, second']", "id_key = 'first, second'"):
        assert loaded(exact, folder=tmp_path).id_key == Secrets("first, second"), "commas count in variables only"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"VAULTGRAPH_ID_KEY__1": "a", "VAULTGRAPH_ID_KEY": "hunter2"}, "id_key: set it, or its parts"),
        ({"VAULTGRAPH_ID_KEY": "hunter2", "VAULTGRAPH_ID_KEY__1": "a"}, "id_key: is a section"),
        ({"VAULTGRAPH_ID_KEY__NEW": "hunter2"}, "id_key: Expected numbers"),
        ({"VAULTGRAPH_ID_KEY__1": "hunter2", "VAULTGRAPH_ID_KEY__2": " "}, "id_key: Expected no empty entry"),
    ],
)
def test_lists_of_keys_that_are_none(environ: dict[str, str], said: str, tmp_path: Path) -> None:
    refused = refusal(environ=environ, folder=tmp_path)
    assert refused.startswith(said)
    assert "hunter2" not in refused


def test_a_secret_above_replaces_its_file_below_and_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file")
    (tmp_path / "secret").chmod(0o600)
    in_file = f"[aloha]\npassword_file = '{tmp_path}/secret'\n"
    settings = loaded(in_file, {"VAULTGRAPH_ALOHA__PASSWORD": "from the environment"}, folder=tmp_path)
    assert settings.aloha.password.reveal() == "from the environment"
    environ = {"VAULTGRAPH_ALOHA__PASSWORD_FILE": f"{tmp_path}/secret"}
    settings = loaded("[aloha]\npassword = 'from the toml'\n", environ, folder=tmp_path)
    assert settings.aloha.password.reveal() == "from a file"


def test_a_secret_and_its_file_side_by_side_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    said = refusal(f"id_key = 'y'\nid_key_file = '{tmp_path}/secret'\n", folder=tmp_path)
    assert said == "id_key_file: set it or id_key, not both"


@pytest.mark.parametrize(
    ("toml", "environ", "named"),
    [
        ("nonsense = 1", {}, "nonsense"),
        ("[loanpro]\nnonsense = 1", {}, "loanpro.nonsense"),
        ("[nobank]\nenabled = true", {}, "nobank"),
        ("", {"VAULTGRAPH_NONSENSE": "hunter2"}, "VAULTGRAPH_NONSENSE"),
        ("", {"VAULTGRAPH_LOANPRO__NONSENSE": "hunter2"}, "VAULTGRAPH_LOANPRO__NONSENSE"),
        ("", {"VAULTGRAPH_LOANPRO": "hunter2"}, "loanpro"),
        ("", {"VAULTGRAPH_LOANPRO": "hunter2", "VAULTGRAPH_LOANPRO__RETRIES": "1"}, "loanpro"),
        ("", {"VAULTGRAPH_LOANPRO__RETRIES": "1", "VAULTGRAPH_LOANPRO": "hunter2"}, "loanpro"),
        ("port = 'hunter2'", {}, "port"),
        ("port = 65536", {}, "port"),
        ("mode = 'hunter2'", {}, "mode"),
        ("id_key = 5", {}, "id_key"),
        ("[loanpro]\ndeadline_s = 0", {}, "loanpro.deadline_s"),
        ("[loanpro]\napi_token_file = '/nowhere/hunter2'", {}, "loanpro.api_token_file"),
        ("[loanpro.breaker]\nfailure_ratio = 2", {}, "loanpro.breaker.failure_ratio"),
        ("provider_precedence = ['hunter2']", {}, "provider_precedence"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not(
    toml: str, environ: dict[str, str], named: str, tmp_path: Path
) -> None:
    said = refusal(toml, environ, folder=tmp_path)
    assert named in said
    assert "hunter2" not in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("port = 'x'", "port: Expected a whole number, got text"),
        ("port = 65536", "port: Expected a whole number <= 65535"),
        ("raw_cards = 'ja'", "raw_cards: Expected true or false, got text"),
        ("data_dir = 5", "data_dir: Expected text"),
        ("loanpro = 5", "loanpro: Expected a section, got a whole number"),
        ("nonsense = 1", "nonsense: there is no such setting"),
        ("[loanpro.breaker]\nnonsense = 1", "loanpro.breaker.nonsense: there is no such setting"),
        ("mode = 'x'", "mode: Expected one of production, development"),
        (
            "provider_precedence = ['aloha', 'x']",
            "provider_precedence: Expected one of loanpro, jpmorgan, caselle, aloha",
        ),
        (
            "[aloha]\npayment_providers = ['CREDIT_CALL', 'hunter2']",
            "aloha.payment_providers: Expected one of CONNECTED_PAYMENTS, CREDIT_CALL, FREEDOM_PAY",
        ),
        ("[auth]\nscopes_by_role = {staff = 'x'}", "auth.scopes_by_role: Expected a list, got text"),
        ("[auth]\nscope_claim = ''", "auth.scope_claim: Expected text of length >= 1"),
        ("[gate]\ntrusted_proxies = ['proxy.example']", f"gate.trusted_proxies: {NETWORK}"),
        ("[gate]\ntrusted_proxies = ['10.0.0.0/8', '10.0.0.1/8']", f"gate.trusted_proxies: {NETWORK}"),
        ("[gate]\ncors_headers = ['x tenant']", "gate.cors_headers: Expected the name of a header, as x-tenant"),
        (
            "[documents]\nids_only = true\nautomatic = false",
            "documents: ids_only needs own_client: the name that your documents are published for",
        ),
        ("[store]\nshared_snapshots = true", "store: shared_snapshots needs redis_url"),
    ],
)
def test_what_is_wrong_is_said_in_words(toml: str, said: str, tmp_path: Path) -> None:
    assert refusal(toml, folder=tmp_path) == said


@pytest.mark.parametrize(
    "value",
    [
        "app.example", "https://", "https://app.example/shop", "https://app.example?x=1", "https://*.example.com",
        "https://user@app.example", "https://app.example:port", "https://app.example, https://b.example", "null",
        "https//app.example", "https://münchen.example", "file:///home/x", "javascript:alert(1)", "http://[::1", "",
    ],
)  # fmt: skip
def test_an_origin_that_is_none_is_refused_by_name(value: str, tmp_path: Path) -> None:
    for setting, section in (("gate.cors_origins", "[gate]\ncors_origins"), ("return_origins", "return_origins")):
        toml = f"{section} = ['https://good.example', '{value}']"
        assert refusal(toml, folder=tmp_path) == f"{setting}: {ORIGIN}"


def test_origins_are_read_as_browsers_send_them() -> None:
    given = "https://App.Example/,https://b.example:443, http://c.example:8080,capacitor://localhost,http://[::1]:5173"
    settings = load_settings(None, {"VAULTGRAPH_GATE__CORS_ORIGINS": given})
    assert settings.gate.cors_origins == [
        "https://app.example", "https://b.example", "http://c.example:8080", "capacitor://localhost",
        "http://[::1]:5173",
    ]  # fmt: skip
    for word in ("none", "*"):
        assert load_settings(None, {"VAULTGRAPH_GATE__CORS_ORIGINS": word}).gate.cors_origins == [word]


def test_text_is_taken_for_what_is_meant() -> None:
    environ = {
        "VAULTGRAPH_RAW_CARDS": "true",
        "VAULTGRAPH_NETWORK_TOKENS": "0",
        "VAULTGRAPH_DATA_DIR": "/somewhere",
        "VAULTGRAPH_LOANPRO__ENABLED": " Yes",
        "VAULTGRAPH_AUTH__PARTNERS_ONLY": "on",
        "VAULTGRAPH_EXECUTION__PLANS": "off",
        "VAULTGRAPH_LOANPRO__DEADLINE_S": "1.5",
        "VAULTGRAPH_LOANPRO__RETRIES": " 7\n",
        "VAULTGRAPH_RETURN_ORIGINS": " https://a.example,, https://b.example ",
    }
    settings = load_settings(None, environ)
    assert (settings.raw_cards, settings.network_tokens, settings.loanpro.deadline_s) == (True, False, 1.5)
    assert (settings.loanpro.enabled, settings.auth.partners_only, settings.execution.plans) == (True, True, False)
    assert settings.loanpro.retries == 7
    assert settings.data_dir == Path("/somewhere")
    assert settings.return_origins == ["https://a.example", "https://b.example"]


def test_a_path_may_be_given_as_one(tmp_path: Path) -> None:
    assert load_settings(None, {}, data_dir=tmp_path).data_dir == tmp_path


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    said = refusal("port = 'x'\n[aloha]\nretries = -1\n", folder=tmp_path)
    assert said.count(";") == 1
    assert "port: " in said
    assert "aloha.retries: " in said


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal("= hunter2", folder=tmp_path) == "the settings file is not valid TOML (at line 1, column 1)"
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load_settings(tmp_path / "missing.toml", {})
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "binary").chmod(0o600)
    assert "not UTF-8" in refusal(f"id_key_file = '{tmp_path}/binary'", folder=tmp_path)


def test_no_secret_shows_itself(tmp_path: Path) -> None:
    secrets = {name: "hunter2-hunter2" for name, field in _fields(Settings) if field in (Secret, Secrets)}
    assert {"id_key", "digest_key", "store.url", "loanpro.api_token", "caselle.client_secret"} <= set(secrets)
    overrides: dict[str, Any] = {}
    for name, value in secrets.items():
        place = overrides
        *sections, last = name.split(".")
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    settings = load_settings(None, {}, **overrides)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)


def _fields(section: type[Section], path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for field in fields(section):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            found += _fields(field.type, f"{path}{field.name}.")
        else:
            found.append((f"{path}{field.name}", field.type))
    return found


def test_the_schema_for_editors_is_current_and_names_every_setting() -> None:
    schema = settings_schema()
    assert json.loads(SCHEMA.read_text("utf-8")) == schema, "print it again: vaultgraph schema settings"
    for name, kind in _fields(Settings):
        section: Any = schema["$defs"]["Settings"]
        *path, last = name.split(".")
        for part in path:
            assert section["additionalProperties"] is False
            section = schema["$defs"][section["properties"][part]["$ref"].removeprefix("#/$defs/")]
        assert last in section["properties"], name
        assert (f"{last}_file" in section["properties"]) == (kind in (Secret, Secrets)), name
    assert schema["$defs"]["Settings"]["properties"]["port"] == {
        "type": "integer", "minimum": 0, "maximum": 65535, "default": 8000,
        "description": "The port to listen on; 0 chooses a free one.",
    }  # fmt: skip


def test_whatever_could_hold_a_credential_is_a_secret() -> None:
    public = ("token_url", "max_token_bytes", "key_id", "network_tokens", "tokens", "client_key_file")
    for name, kind in _fields(Settings):
        last = name.rsplit(".", 1)[-1]
        if any(word in last for word in ("secret", "password", "token", "_key")) and last not in public:
            assert kind in (Secret, Secrets), name


def test_what_is_missing_is_named_as_a_person_would_set_it() -> None:
    enabled = {"enabled": True}
    settings = load_settings(None, {}, loanpro=enabled, aloha=enabled, jpmorgan=enabled, caselle=enabled)
    missing = missing_settings(settings)
    assert missing["loanpro"] == ["loanpro.base_url", "loanpro.api_token", "loanpro.instance_id"]
    assert missing["aloha"] == ["aloha.base_url", "aloha.username", "aloha.password", "aloha.company_code"]
    assert missing["jpmorgan"][-1] == "jpmorgan.client_secret or jpmorgan.private_key"
    assert "caselle.payment_account_uid" in missing["caselle"]
    assert {"id_key", "digest_key"} <= set(missing["gateway"])
    assert missing_settings(Settings())["loanpro"] == [], "what is off needs nothing"
    auth = ("auth.jwks_url or auth.jwks_path (or auth.partners_only)", "auth.issuer", "auth.audience")
    assert {*auth, "gate.cors_origins (origins of web apps, or the word none)"} <= set(missing["gateway"])
    keys = {"id_key": "k" * 32, "digest_key": "d" * 32}
    said = {"auth": {"partners_only": True}, "gate": {"cors_origins": ["none"]}}
    assert missing_settings(load_settings(None, {}, **keys, **said))["gateway"] == []
    assert missing_settings(load_settings(None, {}, **keys, mode="development"))["gateway"] == []


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("VAULTGRAPH_KEY", ""),
        ("VAULTGRAPH_ID_KYE", "VAULTGRAPH_ID_KEY"),
        ("vaultgraph_loanpro__api_tokn", "VAULTGRAPH_LOANPRO__API_TOKEN"),
        ("VAULTGRAPH_LOANPRO_BASE_URL", "VAULTGRAPH_LOANPRO__BASE_URL"),
    ],
)
def test_unknown_variables_are_named_as_such_with_what_may_be_meant(given: str, meant: str, tmp_path: Path) -> None:
    said = refusal(environ={given: "hunter2", "VAULTGRAPH_AUTH__SCOPES_BY_ROLE__CLERK": "explore"}, folder=tmp_path)
    assert said.startswith(f"the environment variable {given} is no setting")
    assert (f"perhaps {meant} is meant" in said) == bool(meant)
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("mode", "is_refused"), [(0o600, False), (0o400, False), (0o640, False), (0o644, True), (0o604, True)]
)
def test_secrets_that_everyone_can_read_are_refused_by_name(
    mode: int, is_refused: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    secret.chmod(mode)
    toml = f"[loanpro]\napi_token_file = '{secret}'\n"
    if is_refused:
        said = refusal(toml, folder=tmp_path)
        assert said.startswith("loanpro.api_token_file: every user of this machine can read the file")
        return
    assert loaded(toml, folder=tmp_path).loanpro.api_token.reveal() == "hunter2"
    warned = [record.getMessage() for record in caplog.records]
    assert warned == (["loanpro.api_token_file: the file's group can read it"] if mode == 0o640 else [])


RANDOM = "Zk3vQ8xN1mT6yB4wL9cH2rJ7sD5fG0pA"


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"id_key": RANDOM, "digest_key": RANDOM[::-1]}, []),
        ({"id_key": RANDOM[:31], "digest_key": RANDOM}, ["id_key: it has fewer than 32 characters"]),
        ({"id_key": RANDOM, "digest_key": RANDOM}, ["digest_key: it is the same as id_key"]),
        ({"id_key": "k" * 40, "digest_key": RANDOM}, ["id_key: it has fewer than 8 different characters"]),
        ({"id_key": RANDOM, "digest_key": "01" * 32}, ["digest_key: it has fewer than 8 different characters"]),
        ({"id_key": [RANDOM, RANDOM[::-1]], "digest_key": RANDOM + "x"}, []),
        ({"id_key": [RANDOM, RANDOM[:31]], "digest_key": RANDOM + "x"}, ["id_key"]),
        ({"id_key": [RANDOM, "k" * 40], "digest_key": RANDOM + "x"}, ["id_key"]),
        ({"id_key": [RANDOM, RANDOM], "digest_key": RANDOM + "x"}, ["id_key: one key is listed twice"]),
        ({"id_key": ["x" + RANDOM, RANDOM], "digest_key": RANDOM}, ["digest_key: it is the same as id_key"]),
    ],
)
def test_weak_keys_are_refused_by_name(keys: dict[str, str], named: list[str]) -> None:
    found = unsafe_settings(load_settings(None, {}, **keys))["gateway"]
    assert [one.partition(",")[0] for one in found] == named


def test_a_key_split_at_a_comma_is_explained_by_the_variables_rule() -> None:
    keys = load_settings(None, {"VAULTGRAPH_ID_KEY": f"{RANDOM},tail", "VAULTGRAPH_DIGEST_KEY": RANDOM[:31]})
    assert unsafe_settings(keys)["gateway"] == [
        "id_key, number 2: it has fewer than 32 characters (in the environment variable VAULTGRAPH_ID_KEY, commas "
        "separate keys)",
        "id_key, number 2: it has fewer than 8 different characters, make it of random bytes (in the environment "
        "variable VAULTGRAPH_ID_KEY, commas separate keys)",
        "digest_key: it has fewer than 32 characters",
    ]


@pytest.mark.parametrize(
    "url", ["http://vault.example", "HTTP://vault.example:8080/x", "http://10.0.0.8", "http://[fd00::1]/"]
)
def test_production_refuses_addresses_without_tls(url: str) -> None:
    values: dict[str, Any] = {
        "loanpro": {"enabled": True, "base_url": url, "secure_payments_url": url},
        "jpmorgan": {"enabled": True, "base_url": "https://vault.example", "token_url": url, "webhook_jwks_url": url},
        "caselle": {"enabled": False, "base_url": url},
        "auth": {"jwks_url": url},
    }
    found = unsafe_settings(load_settings(None, {}, **values))
    assert {one.partition(":")[0] for rows in found.values() for one in rows} == {
        "loanpro.base_url", "loanpro.secure_payments_url", "jpmorgan.token_url", "jpmorgan.webhook_jwks_url",
        "auth.jwks_url",
    }  # fmt: skip
    assert not any(unsafe_settings(load_settings(None, {}, mode="development", **values)).values())


@pytest.mark.parametrize("host", ["127.0.0.1:8001", "127.8.9.1", "[::1]:8001", "localhost:8001"])
def test_loopback_needs_no_tls(host: str) -> None:
    values = {"loanpro": {"enabled": True, "base_url": f"http://{host}/loanpro"}}
    assert not any(unsafe_settings(load_settings(None, {}, **values)).values())
    assert not list(warnings_of(load_settings(None, {}, store={"redis_url": f"redis://{host}"})))


def test_an_open_redis_elsewhere_is_warned_of() -> None:
    (warning,) = warnings_of(load_settings(None, {}, store={"redis_url": "redis://:hunter2@cache.example:6379/0"}))
    assert warning.startswith("store.redis_url: ")
    assert "hunter2" not in warning
    assert not list(warnings_of(load_settings(None, {}, store={"redis_url": "rediss://cache.example:6379/0"})))
