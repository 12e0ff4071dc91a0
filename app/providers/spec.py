"""`ProviderSpec`: what a vault's package exports. A public interface, also for external packages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.http.observer import CallObserver
from app.http.settings import ProviderSettings
from app.vault.enums import CustomerRef
from app.vault.model import Capabilities
from app.vault.provider import VaultProvider
from app.vault.webhooks import WebhookEffect, WebhookSender

S = TypeVar("S", bound=ProviderSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """Options for an adapter besides its settings.

    `observer` records every call for metrics; pass it to `create_client`. `raw_cards` and `network_tokens` are the
    gateway's settings of these names.
    """

    observer: CallObserver | None = None
    raw_cards: bool = False
    network_tokens: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialHelp:
    """The settings to check when the vault refuses the credentials, as phrases like ``x.client_id and
    x.client_secret``.

    `calls` applies to the vault's calls, `tokens` to those of its token endpoint, if any.
    """

    calls: str
    tokens: str = ""


@dataclass(frozen=True, slots=True)
class AddInput:
    """One field of the graph's `AddMethodInput`: one way to add a payment method to this vault.

    `field` is its name in snake_case. `type` is a Strawberry input with ``to_new(billing) -> NewMethod`` and one field
    of type `Secret`, or a one-of input of such. A caller needs one of `scopes`, if there are any.
    """

    field: str
    type: type
    description: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSpec(Generic[S]):
    """The vault's webhooks, received at ``/webhooks/{name}/...``."""

    sender: Callable[[S], WebhookSender | None]
    """Creates the verifier of deliveries; None if the settings disable webhooks. Raises SettingsError."""

    effects: Mapping[str, WebhookEffect]
    """Effects by event type. Deliveries of other types are stored and marked done."""

    sandbox_path: Callable[[S], str] | None = None
    """For `vaultgraph dev`: the path below ``/webhooks/{name}`` to which the sandbox should deliver, with its leading
    slash. None: the sandbox sends no webhooks.
    """


def _nothing_more(_: Any) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec(Generic[S]):
    """One vault, as the rest of the gateway uses it. Settings, checks, schema and webhooks are derived from it.

    `S` is the type of the vault's settings. Nothing here does I/O. A public interface: packages outside this repository
    export one, see docs/adding-a-vault.md.
    """

    name: str
    """2 to 16 lower-case letters and digits; the entry point has the same name. Used for the settings' section, URLs,
    metric labels and, in capitals, the graph's `Provider`. It must never change: links and ids in the store contain it.
    """

    display_name: str
    """For users, e.g. in the `providers` query."""

    settings: type[S]
    """A frozen subclass of `ProviderSettings`; every field has a default. Secrets are of type `Secret`."""

    required: tuple[str, ...]
    """Fields of `settings` that an enabled vault requires, in the order in which they are reported."""

    credential_help: CredentialHelp
    """For `vaultgraph check`: the settings to correct after a refusal."""

    capabilities: Capabilities
    """The vault's full capabilities; an opened adapter may declare fewer, depending on its settings."""

    canonical_ref: Callable[[str], CustomerRef]
    """See `VaultProvider.canonical_ref`; here also for a disabled vault."""

    open: Callable[[S, OpenOptions], VaultProvider]
    """Creates the adapter. Opens no connection; raises SettingsError for unusable settings."""

    missing: Callable[[S], Sequence[str]] = _nothing_more
    """What an enabled vault lacks besides `required`: full names, e.g. ``x.client_secret or x.private_key``."""

    graphql: str | None = None
    """The module whose ``ADD_INPUTS`` is a sequence of `AddInput`. Only this module imports Strawberry; it is imported
    when the schema is created. None: methods cannot be added through the graph.
    """

    import_token: str | None = None
    """The column of an import file, and the field of `ImportRowInput`, with this vault's token for a card; for a vault
    with the capability IMPORT.
    """

    webhooks: WebhookSpec[S] | None = None
    """None if the vault sends no webhooks; customers with subscribers are then polled."""

    precedence: int = 0
    """Higher ones come first in the default of `provider_precedence`; equal ones in order of registration."""

    sandbox: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    """For `vaultgraph dev`: converts this vault's credentials from the sandbox's control API to a settings section.
    None: the sandbox does not emulate the vault, and only the settings file enables it.
    """
