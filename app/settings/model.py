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
LogFormat = Literal["auto", "console", "json"]
_ISSUER_NAME: Final = re.compile("[a-z0-9_-]{1,32}")


class DefaultSettings(Section, frozen=True):
    """Stored defaults."""

    clear_after_s: ZeroOrMore = 300.0
    """Least time between the two complete lists that must lack a stored default before it is [cleared](defaults.md)."""


class ExecutionSettings(Section, frozen=True):
    """How documents are executed."""

    plans: bool = True
    """Runs repeated documents by compiled plans, with the same responses."""


class WatchSettings(Section, frozen=True):
    """Detection of changes made outside the gateway."""

    notes_per_s: Positive = 20.0
    """Changes noticed by reads that are stored per second."""
    every_s: Positive = 30.0
    """Polling interval for customers with subscribers, at vaults without webhooks."""
    calls_per_s: Positive = 5.0
    """Polling calls per second."""
    sweep_every_s: Positive = 86_400.0
    """Interval of expiry detection and clean-up."""


class StoreSettings(Section, frozen=True):
    """The gateway's state."""

    url: Secret = Secret("")
    """`postgresql://...` or `sqlite:///file`; empty means SQLite in `data_dir`."""
    redis_url: Secret = Secret("")
    """Redis or Valkey, for several processes."""
    poll_s: Positive = 0.25
    """How often a process looks for others' commits."""
    shared_snapshots: bool = False
    """Shares vaults' replies, encrypted, [through Redis](operations/many-machines.md#shared-snapshots)."""

    def __post_init__(self) -> None:
        if self.shared_snapshots and not self.redis_url:
            raise ValueError("shared_snapshots needs redis_url")


class IssuerSettings(Section, frozen=True):
    """One issuer of tokens, with its key set at an https URL or in a file.

    `scopes_by_role` maps roles to scopes. A token whose customer claim contains a customer id is an end user's. A token
    without one is staff's if `staff_claim` contains one of `staff_values`, and refused otherwise.
    """

    issuer: str = ""
    """Required unless `partners_only`; the tokens' `iss`."""
    audience: list[str] = []
    """Required unless `partners_only`; `aud` must have one."""
    jwks_url: str = ""
    """URL of the issuer's key set; https."""
    jwks_path: str = ""
    """File of the key set, instead of the URL."""
    algorithms: list[Literal["RS256", "ES256"]] = field(default_factory=lambda: ["RS256", "ES256"])
    """Accepted signing algorithms."""
    scope_claim: Word = "scope"
    """The claim with scopes: a list, or words separated by spaces."""
    role_claim: Word = "roles"
    """The claim with roles."""
    scopes_by_role: dict[str, list[str]] = {}
    """The scopes of each role."""
    customer_claim: Word = "customer_id"
    """The claim with a customer id: this makes the token an end user's, for that customer only."""
    staff_claim: Word = "vaultgraph_staff"
    """The claim of staff and backends; tokens with neither this nor a customer are refused."""
    staff_values: list[Word] = field(default_factory=lambda: ["true"])
    """Accepted values of the staff claim; JSON `true` counts as `true`."""
    end_user_scopes: list[str] = field(default_factory=lambda: ["customers:read", "payment_methods:read"])
    """Scopes of end users' tokens that name none."""


class AuthSettings(IssuerSettings, frozen=True):
    """Tokens of staff and end users, of one issuer. A token is checked by the rules of the issuer that it names."""

    issuers: dict[str, IssuerSettings] = {}
    """[Further issuers](running.md#several-issuers), a section each."""
    jwks_max_age_s: AtLeastOne = 600.0
    """How long fetched keys, and so withdrawn ones, are accepted."""
    jwks_keep_s: AtLeastOne = 86_400.0
    """How long they are accepted while the issuer cannot be reached."""
    jwks_min_interval_s: Annotated[float, Meta(ge=0.1)] = 10.0
    """Minimum time between fetches for unknown keys."""
    leeway_s: Annotated[float, Meta(ge=0, le=300)] = 30.0
    """Permitted clock difference."""
    max_token_bytes: Annotated[int, Meta(ge=256, le=16_000)] = 8_192
    """Longer tokens are refused."""
    partners_only: bool = False
    """Accepts partners' API keys only, no tokens."""

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
    """Connections, browsers, and the [limits](limits.md) of requests."""

    cors_origins: list[CorsOrigin] = []
    """Origins of browsers' calls (`https://app.example`); `*` for any."""
    cors_headers: list[HeaderName] = []
    """Request headers permitted to browsers, beside the usual ones."""
    hosts: list[str] = []
    """Accepted host names; empty for any."""
    trusted_proxies: list[Network] = []
    """Addresses and networks whose `X-Forwarded-For` and `Forwarded` are trusted."""
    connections: Count = 8_000
    """Connections, WebSockets included."""
    connections_per_address: Count = 100
    """Connections per address (IPv6: /64) until authenticated."""
    connections_per_caller: Count = 2_000
    """Connections per caller of their last request."""
    keep_alive_s: Positive = 75.0
    """How long an idle connection is kept."""
    head_timeout_s: Positive = 10.0
    """Time for a request's head to arrive."""
    body_bytes: Annotated[int, Meta(ge=1_000)] = 256_000
    """Size of a request's body."""
    body_timeout_s: Positive = 10.0
    """Time for the body to arrive."""
    send_timeout_s: Positive = 10.0
    """Time for the client to read a response."""
    recheck_s: Positive = 10.0
    """Time after which expired or withdrawn credentials end open streams."""
    json_depth: Annotated[int, Meta(ge=8, le=500)] = 64
    """Nesting of JSON."""
    max_in_flight: Count = 4_000
    """Requests at a time; above this, 503."""
    batch_items: Annotated[int, Meta(ge=0, le=100)] = 0
    """Operations in a batch; 0 refuses batches."""
    compress_from_bytes: CountOrNone = 1_024
    """Responses from this size on are compressed; 0 for never."""
    document_characters: Annotated[int, Meta(ge=100)] = 60_000
    """Length of a document."""
    tokens: Annotated[int, Meta(ge=10)] = 4_000
    """Tokens in a document."""
    depth: Count = 16
    """Nesting of a selection."""
    aliases: CountOrNone = 60
    """Aliases in a document."""
    fields: Count = 400
    """Selected fields, with those of fragments."""
    root_fields: Count = 50
    """Root fields of a query."""
    mutation_fields: Count = 5
    """Root fields of a mutation."""
    directives: CountOrNone = 50
    """Directives in a document."""
    definitions: Count = 100
    """Operations and fragments."""
    variables: CountOrNone = 100
    """Variables of an operation."""
    comparisons: Annotated[int, Meta(ge=100)] = 5_000
    """Comparisons of fields with equal response names."""
    list_items: Count = 1_000
    """Items in one input list."""
    variable_values: Count = 20_000
    """Values in all variables."""
    variable_depth: Count = 16
    """Nesting of variables."""
    cost: Count = 400
    """Cost of an operation, in vault calls."""
    response_fields: Annotated[int, Meta(ge=100)] = 100_000
    """Fields in a response."""
    response_bytes: Annotated[int, Meta(ge=10_000)] = 16_000_000
    """Size of a response."""
    socket_connections: CountOrNone = 2_000
    """WebSocket connections."""
    socket_connections_per_address: Count = 50
    """WebSockets per address until authenticated."""
    socket_connections_per_caller: Count = 200
    """WebSockets per caller."""
    socket_init_timeout_s: Positive = 3.0
    """Time for a WebSocket to authenticate."""
    socket_operations: Count = 50
    """Operations at a time per WebSocket."""
    socket_operations_per_caller: Count = 200
    """Operations at a time per caller."""


class DocumentSettings(Section, frozen=True):
    """What callers with a token may run. Partners run only [documents](documents.md) published for them."""

    automatic: bool = True
    """Automatic persisted queries for staff and end users."""
    automatic_bytes: CountOrNone = 16_000_000
    """Memory for their texts."""
    automatic_client_share: Share = 0.05
    """One client's share of that memory."""
    ids_only: bool = False
    """Runs published documents only; needs `automatic` off."""
    own_client: Annotated[str, Meta(max_length=100)] = ""
    """The publisher of documents for staff and end users."""

    def __post_init__(self) -> None:
        if self.ids_only and self.automatic:
            raise ValueError("automatic persisted queries accept any text: with ids_only set automatic = false")
        if self.ids_only and not self.own_client:
            raise ValueError("ids_only needs own_client: the name that your documents are published for")


class McpSettings(Section, frozen=True):
    """Published documents as tools of [language models](agents.md)."""

    enabled: bool = True
    """Serves `POST /mcp`."""
    url: Annotated[str, Meta(pattern="^(https?://[^?#]+)?$", max_length=500)] = ""
    """Its public address, if the request's headers do not give it."""


class BudgetSettings(Section, frozen=True):
    """Token buckets of one caller, for requests and for cost in vault calls: refill per second, and capacity."""

    requests_per_s: Positive = 10_000
    """Requests per second of one caller."""
    requests_burst: AtLeastOne = 20_000
    """Burst of requests."""
    cost_per_s: Positive = 100_000
    """Cost per second of one caller, in vault calls."""
    cost_burst: AtLeastOne = 200_000
    """Burst of cost."""


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
    """Token buckets of each caller: requests, and cost in vault calls. Backends call as staff."""

    staff: BudgetSettings = BudgetSettings()
    partner: PartnerBudgetSettings = PartnerBudgetSettings()
    end_user: EndUserBudgetSettings = EndUserBudgetSettings()


class EndpointSettings(Section, frozen=True):
    """[Outgoing webhooks](outgoing-webhooks.md)."""

    timeout_s: Annotated[float, Meta(gt=0, le=20)] = 10.0
    """Time for an endpoint's answer; at most 20."""
    concurrency: Count = 8
    """Requests in flight to one endpoint per process."""
    first_retry_s: Positive = 5.0
    """Pause after the first failure; doubles with each further one."""
    longest_retry_s: Positive = 21_600.0
    """Longest pause, also for `Retry-After`."""
    retry_for_s: ZeroOrMore = 259_200.0
    """Time until a delivery is dead-lettered."""
    disable_after_s: Positive = 604_800.0
    """Time without success until an endpoint is disabled."""
    allow_loopback: bool = False
    """Allows http endpoints on this machine; refused in production."""


class LogSettings(Section, frozen=True):
    """The [log](operations/logs.md) on standard error."""

    level: LogLevel = "info"
    """Least that is logged: `debug` (vault calls), `info` (requests), `warning`, `error`."""
    format: LogFormat = "auto"
    """`json`, `console`, or `auto`: `json` if `serve` runs in production without a terminal, else `console`."""


class GatewaySettings(Section, frozen=True):
    """All settings except those of vaults.

    `list_limit`: the most payment methods that one list or page shows.

    `id_key` and `digest_key` are base64 or long random strings (32 characters or more), or lists of them during
    rotation: the first one is used for new data, all of them for existing data.
    """

    mode: Literal["production", "development"] = "production"
    """`development` adds GraphiQL, introspection hints and http URLs."""
    data_dir: Path = Path("vaultgraph-data")
    """Directory of the embedded store."""
    host: str = "127.0.0.1"
    """Address to listen on; the image sets `0.0.0.0`."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    """The port to listen on; 0 chooses a free one."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Worker processes, [one per core](operations/scaling.md); 1 in development."""
    id_key: Secrets = Secrets()
    """Required; 32 or more random characters (8 different ones), or a list of such keys."""
    digest_key: Secrets = Secrets()
    """Required; like `id_key`, but different from it."""
    metrics_token: Secret = Secret("")
    """Bearer token for `/metrics`."""
    grace_s: ZeroOrMore = 10.0
    """Time for requests in flight after a signal to stop."""
    request_deadline_s: Positive = 3.0
    """Time limit of a read."""
    provider_precedence: list[str] = []
    """Whose default is used if several vaults have one and the customer chose none."""
    list_limit: Count = 1_000
    """Payment methods in one list or page; [longer lists are cut](reading.md#large-wallets)."""
    expiring_soon_days: CountOrNone = 30
    """Days before expiry from which a card is `EXPIRING_SOON`; 0 for never."""
    snapshot_bytes: CountOrNone = 64_000_000
    """Cache of vault replies in memory; least recently used are evicted."""
    raw_cards: bool = False
    """Allows card numbers for J.P. Morgan from callers with `pan:write`: this widens your PCI scope."""
    network_tokens: bool = False
    """Allows network tokens for J.P. Morgan."""
    return_origins: list[Origin] = []
    """Origins to which hosted pages may return shoppers."""
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
