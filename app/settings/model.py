"""All settings, from a TOML file, environment variables (``VAULTGRAPH_STORE__URL``) and secret files.

The environment overrides the file. Any secret may be read from a file: ``api_token_file = "/run/secrets/x"`` or
``VAULTGRAPH_STORE__URL_FILE``; a trailing newline in such a file is not part of the secret.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, defstruct, field

from app.errors import SettingsError
from app.http.settings import ProviderSettings
from app.providers.registry import by_precedence, specs
from app.settings.parse import (
    AtLeastOne,
    Count,
    CountOrNone,
    Positive,
    Section,
    Share,
    Word,
    ZeroOrMore,
    names_in,
    parse,
)
from app.settings.sources import (
    ENV_PREFIX,
    deep_merge,
    read_environment,
    read_toml,
    refuse_unknown_variables,
    resolve_files,
)
from app.settings.texts import CorsOrigin, HeaderName, Network, Origin
from app.vault.secret import Secret, Secrets

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]
_ISSUER_NAME: Final = re.compile("[a-z0-9_-]{1,32}")


class DefaultSettings(Section, frozen=True):
    """Stored defaults. `clear_after_s`: the minimum time between two complete lists that both lack a stored default,
    before it is cleared.
    """

    clear_after_s: ZeroOrMore = 300.0


class ExecutionSettings(Section, frozen=True):
    """`plans` runs reused documents by compiled plans. It does not change results."""

    plans: bool = True


class WatchSettings(Section, frozen=True):
    """Detection of changes made outside the gateway: the rate of recording observed changes, the polling of vaults
    without webhooks for subscribers, and the daily jobs.
    """

    notes_per_s: Positive = 20.0
    every_s: Positive = 30.0
    calls_per_s: Positive = 5.0
    sweep_every_s: Positive = 86_400.0


class StoreSettings(Section, frozen=True):
    """`url` is ``postgresql://...`` or ``sqlite:///file``; empty means SQLite in the data directory.

    `poll_s` is the interval at which changes of other processes are looked for. PostgreSQL also notifies of them.
    `shared_snapshots`: processes share vaults' replies, encrypted, through Redis.
    """

    url: Secret = Secret("")
    redis_url: Secret = Secret("")
    poll_s: Positive = 0.25
    shared_snapshots: bool = False

    def __post_init__(self) -> None:
        if self.shared_snapshots and not self.redis_url:
            raise ValueError("shared_snapshots needs redis_url")


class IssuerSettings(Section, frozen=True):
    """One issuer of tokens, with its key set at an https URL or in a file.

    `scopes_by_role` maps roles to scopes. A token whose customer claim contains a customer id is an end user's. A token
    without one is staff's if `staff_claim` contains one of `staff_values`, and refused otherwise.
    """

    issuer: str = ""
    audience: list[str] = []
    jwks_url: str = ""
    jwks_path: str = ""
    algorithms: list[Literal["RS256", "ES256"]] = field(default_factory=lambda: ["RS256", "ES256"])
    scope_claim: Word = "scope"
    role_claim: Word = "roles"
    scopes_by_role: dict[str, list[str]] = {}
    customer_claim: Word = "customer_id"
    staff_claim: Word = "vaultgraph_staff"
    staff_values: list[Word] = field(default_factory=lambda: ["true"])
    end_user_scopes: list[str] = field(default_factory=lambda: ["customers:read", "payment_methods:read"])


class AuthSettings(IssuerSettings, frozen=True):
    """Tokens of staff and end users. The section itself describes one issuer; `issuers` are further ones, by name.

    A token is checked by the rules of the issuer that it names. `partners_only` disables tokens: only API keys are
    accepted.
    """

    issuers: dict[str, IssuerSettings] = {}
    jwks_max_age_s: AtLeastOne = 600.0
    jwks_keep_s: AtLeastOne = 86_400.0
    jwks_min_interval_s: Annotated[float, Meta(ge=0.1)] = 10.0
    leeway_s: Annotated[float, Meta(ge=0, le=300)] = 30.0
    max_token_bytes: Annotated[int, Meta(ge=256, le=16_000)] = 8_192
    partners_only: bool = False

    def __post_init__(self) -> None:
        if not all(_ISSUER_NAME.fullmatch(name) for name in self.issuers):
            raise ValueError("issuers: names have 1 to 32 lower-case letters, digits, - and _")
        trusted = [one.issuer for one in self.trusted().values()]
        if len(set(trusted)) < len(trusted):
            raise ValueError("issuers: two have the same issuer")

    def trusted(self) -> dict[str, IssuerSettings]:
        """Every issuer by the name of its section in the settings."""
        is_one = bool(self.issuer or self.jwks_url or self.jwks_path)
        own: dict[str, IssuerSettings] = {"auth": self} if is_one else {}
        return own | {f"auth.issuers.{name}": one for name, one in self.issuers.items()}


class ApiSettings(Section, frozen=True):
    """Limits of requests, and access from browsers. `docs/limits.md` explains each number.

    `cors_origins` are origins (``https://app.example``), or ``*``; `hosts` the accepted Host names, any if empty.
    `trusted_proxies` are the addresses whose forwarding headers are trusted. `batch_items` 0 disables batches,
    `compress_from_bytes` 0 compression.
    """

    cors_origins: list[CorsOrigin] = []
    cors_headers: list[HeaderName] = []
    hosts: list[str] = []
    trusted_proxies: list[Network] = []
    connections: Count = 8_000
    connections_per_address: Count = 100
    connections_per_caller: Count = 2_000
    keep_alive_s: Positive = 75.0
    head_timeout_s: Positive = 10.0
    body_bytes: Annotated[int, Meta(ge=1_000)] = 256_000
    body_timeout_s: Positive = 10.0
    send_timeout_s: Positive = 10.0
    recheck_s: Positive = 10.0
    json_depth: Annotated[int, Meta(ge=8, le=500)] = 64
    max_in_flight: Count = 4_000
    batch_items: Annotated[int, Meta(ge=0, le=100)] = 0
    compress_from_bytes: CountOrNone = 1_024
    document_characters: Annotated[int, Meta(ge=100)] = 60_000
    tokens: Annotated[int, Meta(ge=10)] = 4_000
    depth: Count = 16
    aliases: CountOrNone = 60
    fields: Count = 400
    root_fields: Count = 50
    mutation_fields: Count = 5
    directives: CountOrNone = 50
    definitions: Count = 100
    variables: CountOrNone = 100
    comparisons: Annotated[int, Meta(ge=100)] = 5_000
    list_items: Count = 1_000
    variable_values: Count = 20_000
    variable_depth: Count = 16
    cost: Count = 400
    response_fields: Annotated[int, Meta(ge=100)] = 100_000
    response_bytes: Annotated[int, Meta(ge=10_000)] = 16_000_000
    socket_connections: CountOrNone = 2_000
    socket_connections_per_address: Count = 50
    socket_connections_per_caller: Count = 200
    socket_init_timeout_s: Positive = 3.0
    socket_operations: Count = 50
    socket_operations_per_caller: Count = 200


class DocumentSettings(Section, frozen=True):
    """Which documents callers with a token may run; partners run only documents published for them.

    `automatic` enables APQ. `ids_only` refuses texts and therefore needs APQ off; `own_client` names the partner whose
    published documents they may run.
    """

    automatic: bool = True
    automatic_bytes: CountOrNone = 16_000_000
    automatic_client_share: Share = 0.05
    ids_only: bool = False
    own_client: Annotated[str, Meta(max_length=100)] = ""

    def __post_init__(self) -> None:
        if self.ids_only and self.automatic:
            raise ValueError("automatic persisted queries accept any text: with ids_only set automatic = false")
        if self.ids_only and not self.own_client:
            raise ValueError("ids_only needs own_client: the name that your documents are published for")


class McpSettings(Section, frozen=True):
    """`POST /mcp`: published documents as tools of language models. `url` is its public address, if a proxy's Host and
    X-Forwarded-Proto do not give it (``https://pay.example/mcp``).
    """

    enabled: bool = True
    url: Annotated[str, Meta(pattern="^(https?://[^?#]+)?$", max_length=500)] = ""


class BudgetSettings(Section, frozen=True):
    """Token buckets of one client, for requests and for cost in vault calls: refill per second, and capacity."""

    requests_per_s: Positive = 10_000
    requests_burst: AtLeastOne = 20_000
    cost_per_s: Positive = 100_000
    cost_burst: AtLeastOne = 200_000


class PartnerBudgetSettings(BudgetSettings, frozen=True):
    requests_per_s: Positive = 500
    requests_burst: AtLeastOne = 1_000
    cost_per_s: Positive = 5_000
    cost_burst: AtLeastOne = 10_000


class EndUserBudgetSettings(BudgetSettings, frozen=True):
    requests_per_s: Positive = 50
    requests_burst: AtLeastOne = 200
    cost_per_s: Positive = 500
    cost_burst: AtLeastOne = 2_000


class RateSettings(Section, frozen=True):
    """Budgets by kind of caller. A backend calls as staff for all its users, an end user for one person."""

    staff: BudgetSettings = BudgetSettings()
    partner: PartnerBudgetSettings = PartnerBudgetSettings()
    end_user: EndUserBudgetSettings = EndUserBudgetSettings()


class EndpointSettings(Section, frozen=True):
    """Outgoing webhooks. A delivery is retried for `retry_for_s`, after pauses that double from `first_retry_s` to
    `longest_retry_s`; an endpoint is disabled after `disable_after_s` of failures only.

    `concurrency`: requests in flight to one endpoint from one process. `allow_loopback`, for development only, allows
    endpoints on this machine, without TLS.
    """

    timeout_s: Annotated[float, Meta(gt=0, le=20)] = 10.0
    concurrency: Count = 8
    first_retry_s: Positive = 5.0
    longest_retry_s: Positive = 21_600.0
    retry_for_s: ZeroOrMore = 259_200.0
    disable_after_s: Positive = 604_800.0
    allow_loopback: bool = False


class LogSettings(Section, frozen=True):
    """The log on standard error. At `info` it has a line for each request, at `debug` one for each vault call too."""

    level: LogLevel = "info"
    format: LogFormat = "console"


class GatewaySettings(Section, frozen=True):
    """All settings except those of vaults.

    `list_limit`: the most payment methods that one list or page shows.

    `id_key` and `digest_key` are base64 or long random strings (32 characters or more), or lists of them during
    rotation: the first one is used for new data, all of them for existing data.
    """

    mode: Literal["production", "development"] = "production"
    data_dir: Path = Path("vaultgraph-data")
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    id_key: Secrets = Secrets()
    digest_key: Secrets = Secrets()
    metrics_token: Secret = Secret("")
    grace_s: ZeroOrMore = 10.0
    request_deadline_s: Positive = 3.0
    provider_precedence: list[str] = []
    list_limit: Count = 1_000
    expiring_soon_days: CountOrNone = 30
    snapshot_bytes: CountOrNone = 64_000_000
    raw_cards: bool = False
    network_tokens: bool = False
    return_origins: list[Origin] = []
    store: StoreSettings = StoreSettings()
    watch: WatchSettings = WatchSettings()
    default: DefaultSettings = DefaultSettings()
    execution: ExecutionSettings = ExecutionSettings()
    auth: AuthSettings = AuthSettings()
    gate: ApiSettings = ApiSettings()
    rate: RateSettings = RateSettings()
    documents: DocumentSettings = DocumentSettings()
    endpoints: EndpointSettings = EndpointSettings()
    mcp: McpSettings = McpSettings()
    log: LogSettings = LogSettings()

    def provider(self, name: str) -> ProviderSettings:
        """The section of a registered vault."""
        found: ProviderSettings = getattr(self, name)
        return found


if TYPE_CHECKING:

    class Settings(GatewaySettings, frozen=True):
        """`GatewaySettings` and a section for every registered vault, by its name: see `provider`."""
else:
    for _name in GatewaySettings.__struct_fields__:
        if _name in specs():
            raise SettingsError(f"a vault cannot be named {_name}: the gateway has a setting of that name")
    _PRECEDENCE: Final = by_precedence()
    Settings = defstruct(
        "Settings",
        [
            ("provider_precedence", list[Literal[tuple(_PRECEDENCE)]], field(default_factory=lambda: [*_PRECEDENCE])),
            *((spec.name, spec.settings, spec.settings()) for spec in specs().values()),
        ],
        bases=(GatewaySettings,),
        module=__name__,
        frozen=True,
    )


def load_settings(
    toml_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    base: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Settings:
    """Merge `base`, the file, the environment and `overrides`; later ones win. Raises SettingsError naming each wrong
    setting.
    """
    merged: dict[str, Any] = {}
    deep_merge(merged, base or {})
    if toml_file is not None:
        deep_merge(merged, read_toml(toml_file))
    found = os.environ if environ is None else environ
    refuse_unknown_variables(found, dict(names_in(Settings, ENV_PREFIX)))
    deep_merge(merged, read_environment(found))
    deep_merge(merged, overrides)
    paths = {tuple(name.lower().split("__")) for name, _ in names_in(Settings, "") if name.endswith("_FILE")}
    resolve_files(merged, (), paths)
    return parse(merged, Settings)
