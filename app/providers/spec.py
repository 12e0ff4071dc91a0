"""What a vault's package exports: one `ProviderSpec`. A public interface, for packages outside this one too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.http.client import CallObserver
from app.http.settings import ProviderSettings
from app.vault.enums import CustomerRef
from app.vault.model import Capabilities
from app.vault.provider import VaultProvider
from app.vault.webhooks import WebhookEffect, WebhookSender

S = TypeVar("S", bound=ProviderSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """What an adapter is opened with beside its own settings.

    `observer` receives every call, for metrics; pass it to `create_client`. `raw_cards` and `network_tokens` are the
    gateway's settings of these names: whether the operator accepts such numbers.
    """

    observer: CallObserver | None = None
    raw_cards: bool = False
    network_tokens: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialHelp:
    """Which settings to look at when the vault refuses us: phrases as ``x.client_id and x.client_secret``.

    `calls` are those of the vault's own calls, `tokens` those of its token endpoint, where it has one.
    """

    calls: str
    tokens: str = ""


@dataclass(frozen=True, slots=True)
class AddInput:
    """One field of the graph's `AddMethodInput`: one way to add a payment method to this vault.

    `field` is its name in snake_case. `type` is a Strawberry input with ``to_new(billing) -> NewMethod`` and one field
    of the type `Secret`, or a one-of input of such. A caller needs one of `scopes`, where there are any.
    """

    field: str
    type: type
    description: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSpec(Generic[S]):
    """The vault's webhooks, taken at ``/webhooks/{name}/...``."""

    sender: Callable[[S], WebhookSender | None]
    """Who verifies deliveries; None where the settings turn webhooks off. Raises SettingsError."""

    effects: Mapping[str, WebhookEffect]
    """By event type. Deliveries of other types are stored and marked done."""

    sandbox_path: Callable[[S], str] | None = None
    """For `vaultgraph dev`: the path below ``/webhooks/{name}`` to which the sandbox should deliver, with its leading
    slash. None: the sandbox sends none."""


def _nothing_more(_: Any) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec(Generic[S]):
    """One vault, as the rest of the gateway knows it. Settings, checks, graph and webhooks are derived from it.

    `S` is the type of the vault's own settings. Nothing here does I/O.
    """

    name: str
    """2 to 16 small letters and digits; the entry point has the same name. It spells the settings' section, URLs,
    metrics labels and, in capitals, the graph's `Provider`. Never changes: links and ids in the store hold it."""

    display_name: str
    """For people, e.g. in the `providers` query."""

    settings: type[S]
    """A frozen subclass of `ProviderSettings`; every field has a default. Whatever is secret is a `Secret`."""

    required: tuple[str, ...]
    """Fields of `settings` that an enabled vault cannot do without, in the order in which they are reported."""

    credential_help: CredentialHelp
    """For `vaultgraph check`: which settings mend a refusal."""

    capabilities: Capabilities
    """The most that the vault can do; an opened adapter may declare less, by its settings."""

    canonical_ref: Callable[[str], CustomerRef]
    """See `VaultProvider.canonical_ref`; here also for a vault that is not enabled."""

    open: Callable[[S, OpenOptions], VaultProvider]
    """Makes the adapter. Opens no connection; raises SettingsError for settings that cannot work."""

    missing: Callable[[S], Sequence[str]] = _nothing_more
    """What an enabled vault lacks besides `required`: full names, e.g. ``x.client_secret or x.private_key``."""

    graphql: str | None = None
    """The module whose ``ADD_INPUTS`` is a sequence of `AddInput`. It alone imports Strawberry; it is imported when
    the schema is made. None: nothing can be added through the graph."""

    import_token: str | None = None
    """The column of an import file, and in the graph the field of `ImportRowInput`, that holds this vault's token for a
    card; for a vault with the capability IMPORT."""

    webhooks: WebhookSpec[S] | None = None
    """None: the vault sends none; customers with subscribers are then read in intervals."""

    precedence: int = 0
    """Higher ones come first in the default of `provider_precedence`; equal ones by the order of registration."""

    sandbox: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    """For `vaultgraph dev`: what the sandbox's control API says of this vault's credentials, as a settings section.
    None: the sandbox has no such vault, and only the settings file enables it."""
