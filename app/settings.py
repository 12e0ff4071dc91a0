"""Every setting: from a TOML file, the environment (``VAULTGRAPH_LOANPRO__API_TOKEN``) and secret files.

The environment wins over the file. Any secret may instead be named by a file: ``api_token_file = "/run/secrets/x"`` or
``VAULTGRAPH_LOANPRO__API_TOKEN_FILE``; a trailing newline in such a file is not part of the secret.
"""

import os
import re
import tomllib
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from app.errors import SettingsError

ENV_PREFIX = "VAULTGRAPH_"
_FILE_SUFFIX = "_file"
_NOT_SETTINGS = frozenset({"VAULTGRAPH_CONFIG", "VAULTGRAPH_TEST_REQUIRE"})  # read by the command and by the tests


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, data: Any) -> Any:
        """The environment has only text: what should be a list is split at commas."""
        if not isinstance(data, Mapping):
            return data
        lists = {name for name, field in cls.model_fields.items() if get_origin(field.annotation) is list}
        return {
            key: [part.strip() for part in value.split(",") if part.strip()]
            if key in lists and isinstance(value, str)
            else value
            for key, value in data.items()
        }


class BreakerSettings(_Section):
    """The circuit breaker of one vault."""

    minimum_calls: int = Field(20, ge=1)
    window_s: float = Field(10.0, gt=0)
    failure_ratio: float = Field(0.5, gt=0, le=1)
    open_for_s: float = Field(5.0, gt=0)


class ProviderSettings(_Section):
    """What every vault has. Durations are seconds; `fresh_for_s` 0 turns the fresh cache off."""

    enabled: bool = False
    base_url: str = ""
    deadline_s: float = Field(3.0, gt=0)
    write_deadline_s: float = Field(8.0, gt=0)
    concurrency: int = Field(64, ge=1)
    queue_limit: int = Field(1000, ge=0)
    queue_wait_s: float = Field(1.0, ge=0)
    retries: int = Field(2, ge=0)
    retry_budget_ratio: float = Field(0.1, ge=0, le=1)
    fresh_for_s: float = Field(5.0, ge=0)
    stale_if_error_for_s: float = Field(600.0, ge=0)
    max_body_bytes: int = Field(8_000_000, ge=1)
    transport: Literal["aiohttp", "lean"] = "aiohttp"
    breaker: BreakerSettings = BreakerSettings()


class LoanProSettings(ProviderSettings):
    """LMS headers `Authorization: Bearer` and `Autopal-Instance-Id`; the Secure Payments pair mints OBO tokens."""

    api_token: SecretStr = SecretStr("")
    instance_id: str = ""
    secure_payments_url: str = ""
    secure_payments_token: SecretStr = SecretStr("")
    secure_payments_secret: SecretStr = SecretStr("")


class AlohaSettings(ProviderSettings):
    """HTTP Basic plus `X-Api-CompanyCode`. `payment_providers` are those that the company is set up for."""

    username: str = ""
    password: SecretStr = SecretStr("")
    company_code: str = ""
    payment_providers: list[Literal["CONNECTED_PAYMENTS", "CREDIT_CALL", "FREEDOM_PAY"]] = [
        "CONNECTED_PAYMENTS",
        "CREDIT_CALL",
        "FREEDOM_PAY",
    ]


class JpMorganSettings(ProviderSettings):
    """OAuth2 client credentials: a client secret, or an RS256 assertion signed with `private_key` (PEM)."""

    token_url: str = ""
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    private_key: SecretStr = SecretStr("")
    key_id: str = ""
    resource: str = ""
    scope: str = ""
    merchant_identifier: str = ""
    three_ds_concurrency: int = Field(32, ge=1)
    webhook_jwks_path: str = ""


class CaselleSettings(ProviderSettings):
    """OAuth2 client credentials by HTTP Basic, plus `X-Payment-Account-Uid`."""

    token_url: str = ""
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    scope: str = "com.govineer.payments/admin"
    payment_account_uid: str = ""
    webhook_secret: SecretStr = SecretStr("")


class ExecutionSettings(_Section):
    """`plans` runs documents that are used again by compiled plans; the answers are the same without."""

    plans: bool = True


class WatchSettings(_Section):
    """How changes behind our back are noticed: the pace of noting what reads see, of reading for subscribers the vaults
    that send no webhooks, and of the daily sweep."""

    notes_per_s: float = Field(20.0, gt=0)
    every_s: float = Field(30.0, gt=0)
    calls_per_s: float = Field(5.0, gt=0)
    sweep_every_s: float = Field(86_400.0, gt=0)


class StoreSettings(_Section):
    """`url` is an SQLAlchemy async URL; empty means SQLite in the data directory."""

    url: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("")


class AuthSettings(_Section):
    """Tokens of staff and end users: one issuer, its key set behind an https address or in a file.

    `scopes_by_role` maps words of the role claim to scopes; a token whose customer claim holds a customer id is an end
    user's. `partners_only` says that there are no tokens: API keys alone.
    """

    issuer: str = ""
    audience: list[str] = []
    jwks_url: str = ""
    jwks_path: str = ""
    jwks_max_age_s: float = Field(600.0, ge=1)
    jwks_min_interval_s: float = Field(10.0, ge=0.1)
    leeway_s: float = Field(30.0, ge=0, le=300)
    max_token_bytes: int = Field(8_192, ge=256, le=16_000)
    scope_claim: str = Field("scope", min_length=1)
    role_claim: str = Field("roles", min_length=1)
    scopes_by_role: dict[str, list[str]] = {}
    customer_claim: str = Field("customer_id", min_length=1)
    end_user_scopes: list[str] = ["customers:read", "payment_methods:read"]
    partners_only: bool = False


class GateSettings(_Section):
    """How much one request may ask, and who may ask from a browser. `docs/limits.md` says what each number counts.

    `cors_origins` are origins (``https://app.example``), or ``*``; `hosts` the names to answer to, any when empty.
    `batch_items` 0 refuses batches, `compress_from_bytes` 0 compresses nothing.
    """

    cors_origins: list[str] = []
    hosts: list[str] = []
    body_bytes: int = Field(256_000, ge=1_000)
    body_timeout_s: float = Field(10.0, gt=0)
    send_timeout_s: float = Field(10.0, gt=0)
    json_depth: int = Field(64, ge=8, le=500)
    max_in_flight: int = Field(4_000, ge=1)
    batch_items: int = Field(0, ge=0, le=100)
    compress_from_bytes: int = Field(1_024, ge=0)
    document_characters: int = Field(60_000, ge=100)
    tokens: int = Field(4_000, ge=10)
    depth: int = Field(16, ge=1)
    aliases: int = Field(60, ge=0)
    fields: int = Field(400, ge=1)
    root_fields: int = Field(50, ge=1)
    mutation_fields: int = Field(5, ge=1)
    directives: int = Field(50, ge=0)
    list_items: int = Field(1_000, ge=1)
    variable_values: int = Field(20_000, ge=1)
    variable_depth: int = Field(16, ge=1)
    cost: int = Field(400, ge=1)
    socket_connections: int = Field(2_000, ge=0)
    socket_connections_per_address: int = Field(200, ge=1)
    socket_init_timeout_s: float = Field(3.0, gt=0)
    socket_operations: int = Field(50, ge=1)
    socket_operations_per_caller: int = Field(200, ge=1)


class DocumentSettings(_Section):
    """Which documents callers with a token may run; partners run what was published for them, and nothing else.

    `automatic` is for APQ. `ids_only` refuses their texts, and with them APQ, which must then be off; `own_client`
    names the partner whose published documents they may run.
    """

    automatic: bool = True
    automatic_bytes: int = Field(16_000_000, ge=0)
    automatic_client_share: float = Field(0.05, gt=0, le=1)
    ids_only: bool = False
    own_client: str = Field("", max_length=100)

    @model_validator(mode="after")
    def _fit(self) -> "DocumentSettings":
        if self.ids_only and self.automatic:
            raise ValueError("automatic persisted queries let any text in: with ids_only set automatic = false")
        if self.ids_only and not self.own_client:
            raise ValueError("ids_only needs own_client: the name that your own documents are published for")
        return self


class BudgetSettings(_Section):
    """What one client may ask: requests, and cost in calls to vaults, refilled by the second up to a burst."""

    requests_per_s: float = Field(10_000, gt=0)
    requests_burst: float = Field(20_000, ge=1)
    cost_per_s: float = Field(100_000, gt=0)
    cost_burst: float = Field(200_000, ge=1)


class PartnerBudgetSettings(BudgetSettings):
    requests_per_s: float = Field(500, gt=0)
    requests_burst: float = Field(1_000, ge=1)
    cost_per_s: float = Field(5_000, gt=0)
    cost_burst: float = Field(10_000, ge=1)


class EndUserBudgetSettings(BudgetSettings):
    requests_per_s: float = Field(50, gt=0)
    requests_burst: float = Field(200, ge=1)
    cost_per_s: float = Field(500, gt=0)
    cost_burst: float = Field(2_000, ge=1)


class RateSettings(_Section):
    """Budgets by kind of caller. A backend calls as staff for all its users, an end user for one person."""

    staff: BudgetSettings = BudgetSettings()
    partner: PartnerBudgetSettings = PartnerBudgetSettings()
    end_user: EndUserBudgetSettings = EndUserBudgetSettings()


class Settings(_Section):
    """The whole configuration. `id_key` and `digest_key` are base64 or long random strings (32 characters or more)."""

    mode: Literal["production", "development"] = "production"
    data_dir: Path = Path("vaultgraph-data")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    id_key: SecretStr = SecretStr("")
    digest_key: SecretStr = SecretStr("")
    metrics_token: SecretStr = SecretStr("")
    grace_s: float = Field(10.0, ge=0)
    request_deadline_s: float = Field(3.0, gt=0)
    provider_precedence: list[Literal["loanpro", "jpmorgan", "caselle", "aloha"]] = [
        "loanpro",
        "jpmorgan",
        "caselle",
        "aloha",
    ]
    expiring_soon_days: int = Field(30, ge=0)
    snapshot_bytes: int = Field(64_000_000, ge=0)
    raw_cards: bool = False
    network_tokens: bool = False
    return_origins: list[str] = []
    store: StoreSettings = StoreSettings()
    watch: WatchSettings = WatchSettings()
    execution: ExecutionSettings = ExecutionSettings()
    auth: AuthSettings = AuthSettings()
    gate: GateSettings = GateSettings()
    rate: RateSettings = RateSettings()
    documents: DocumentSettings = DocumentSettings()
    loanpro: LoanProSettings = LoanProSettings()
    aloha: AlohaSettings = AlohaSettings()
    jpmorgan: JpMorganSettings = JpMorganSettings()
    caselle: CaselleSettings = CaselleSettings()


def load_settings(
    toml_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    base: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Settings:
    """`base`, the file over it, the environment over that, `overrides` on top.

    Raises SettingsError naming each wrong setting.
    """
    merged: dict[str, Any] = {}
    _lay_over(merged, base or {})
    if toml_file is not None:
        _lay_over(merged, _read_toml(toml_file))
    _lay_over(merged, _read_environment(os.environ if environ is None else environ))
    _lay_over(merged, overrides)
    _resolve_files(merged, ())
    try:
        return Settings(**merged)
    except ValidationError as error:
        faults = (f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors())
        raise SettingsError("; ".join(faults)) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file cannot be read: {error.strerror}") from None
    except ValueError as error:
        place = re.search(r" \(at [a-z0-9, ]+\)$", str(error))  # the rest of the message may quote a value
        raise SettingsError(f"the settings file is not valid TOML{place[0] if place else ''}") from None


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """``VAULTGRAPH_LOANPRO__API_TOKEN`` becomes ``{"loanpro": {"api_token": ...}}``; lists are comma-separated."""
    found: dict[str, Any] = {}
    for key, value in environ.items():
        if not key.upper().startswith(ENV_PREFIX) or key.upper() in _NOT_SETTINGS:
            continue
        *sections, name = key[len(ENV_PREFIX) :].lower().split("__")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise SettingsError(f"{section}: is a section, and {ENV_PREFIX}{section.upper()} gives it a value")
        place[name] = value
    return found


def _lay_over(base: MutableMapping[str, Any], upper: Mapping[str, Any]) -> None:
    """`x` above replaces `x_file` below, and the other way round."""
    for key, value in upper.items():
        if f"{key}{_FILE_SUFFIX}" not in upper:
            base.pop(f"{key}{_FILE_SUFFIX}", None)
        if key.endswith(_FILE_SUFFIX) and key.removesuffix(_FILE_SUFFIX) not in upper:
            base.pop(key.removesuffix(_FILE_SUFFIX), None)
        below = base.get(key)
        if isinstance(value, Mapping) and isinstance(below, MutableMapping):
            _lay_over(below, value)
        else:
            base[key] = dict(value) if isinstance(value, Mapping) else value


def _resolve_files(section: MutableMapping[str, Any], path: tuple[str, ...]) -> None:
    """Replace every ``x_file`` by ``x`` holding the file's text."""
    for key in list(section):
        value = section[key]
        if isinstance(value, MutableMapping):
            _resolve_files(value, (*path, key))
        elif key.endswith(_FILE_SUFFIX) and isinstance(value, str):
            name, shown = key.removesuffix(_FILE_SUFFIX), ".".join((*path, key))
            if name in section:
                raise SettingsError(f"{shown}: set it or {name}, not both")
            try:
                section[name] = Path(value).read_text("utf-8").rstrip("\r\n")
            except OSError as error:
                raise SettingsError(f"{shown}: {error.strerror}") from None
            except UnicodeDecodeError:
                raise SettingsError(f"{shown}: the file is not UTF-8 text") from None
            del section[key]
