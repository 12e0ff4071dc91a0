"""What of the settings can be replaced at runtime: keys, issuers of tokens, webhook secrets, vaults' credentials."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import fields, replace

from app.api.auth.compose import token_rules
from app.endpoints.signing import SecretCipher, SecretKeys
from app.errors import SettingsError
from app.http.fetch import DocumentFetcher
from app.http.jwks import Fetch
from app.http.settings import ProviderSettings
from app.providers.registry import canonical_ref, open_provider, specs
from app.settings.model import Settings
from app.settings.parse import Section
from app.settings.required import missing_settings, unsafe_settings, warnings_of
from app.store import Store
from app.store.errors import StoreUnavailable
from app.telemetry.logs import configure_logging, format_of_server
from app.vault.enums import ProviderName
from app.vault.provider import VaultProvider
from app.vault.secret import Secrets
from app.vault.webhooks import WebhookSender
from app.wallet.digest import DIGEST_KEY, DigestKeys
from app.wallet.ids import Ids
from app.wallet.keys import KeyRing, key_name
from app.wallet.reads.shared_snapshots import SnapshotCipher
from app.wallet.writes.lease import WorkerLease

if TYPE_CHECKING:
    from app.main import Gateway

_log = logging.getLogger("vaultgraph")
ID_KEY: Final = "id_key"
_FIXED: Final = (
    "enabled", "deadline_s", "write_deadline_s", "fresh_for_s", "stale_if_error_for_s", "max_methods",
    "three_ds_concurrency",
)  # fmt: skip
"""Settings of a vault that need a restart: the read policies and deadlines are built from them at the start."""


class GatewayKeys:
    """`webhooks` has the names of each vault's webhook secrets. A list's first key is used for new data."""

    def __init__(self, settings: Settings) -> None:
        self.digest = DigestKeys(settings.digest_key.reveal(), lambda secret: secret)
        self.ids = Ids(settings.id_key.reveal(), canonical_ref=canonical_ref)
        self.snapshots = KeyRing(settings.id_key.reveal(), SnapshotCipher)
        self.endpoints: SecretKeys = KeyRing(settings.digest_key.reveal(), SecretCipher)
        self.webhooks = {name: keys for name, keys in key_names(settings).items() if name not in (ID_KEY, DIGEST_KEY)}

    def by_setting(self) -> Mapping[str, list[str]]:
        return {ID_KEY: list(self.ids.keys.keys), DIGEST_KEY: list(self.digest.keys), **self.webhooks}

    def replace(self, settings: Settings) -> None:
        """Use these settings' keys and names from now on; the ids' own are replaced by the caller."""
        self.snapshots.replace(settings.id_key.reveal())
        self.digest.replace(settings.digest_key.reveal())
        self.endpoints.replace(settings.digest_key.reveal())
        self.webhooks = {name: keys for name, keys in key_names(settings).items() if name not in (ID_KEY, DIGEST_KEY)}

    async def publish(self, store: Store, lease: WorkerLease) -> None:
        """Record which keys are configured, and warn about processes that cannot read what this one writes.

        Raises StoreUnavailable.
        """
        for setting, names in self.by_setting().items():
            await store.key_uses.know(setting, names)
        for setting, name in ((ID_KEY, self.ids.keys.first_name), (DIGEST_KEY, self.digest.first_name)):
            for other in await lease.others():
                if name in other.keys.get(setting, ()):
                    continue
                _log.warning(
                    "the first %s, %s, is unknown to the process %s at %s: list it second until every process has it",
                    setting, name, other.id, other.host,
                )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Names of changed settings: those in force now, and those that need a restart."""

    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]


async def reload_settings(gateway: "Gateway", load: Callable[[], Settings]) -> Reloaded | None:
    """Apply what `load` returns. For faulty settings nothing is changed, the reason is logged, and None is returned.

    Files that settings name (key sets, certificates) are read again too.
    """
    try:
        fresh = load()
        validate(fresh)
        result, apply = _prepare(gateway, fresh)
    except (SettingsError, ValueError) as error:
        _log.error("the settings were not reloaded, the running ones stay in force: %s", error)
        return None
    apply()
    try:
        await gateway.owner.announce_keys()
        await gateway.keys.publish(gateway.store, gateway.owner)
    except StoreUnavailable:
        _log.warning("the store cannot be used: other processes learn of these keys with the next heartbeat")
    for name in result.needs_restart:
        _log.warning("%s has changed: restart needed", name)
    return result


def _prepare(gateway: "Gateway", fresh: Settings) -> tuple[Reloaded, Callable[[], None]]:
    """Create everything new, which may raise SettingsError, before anything is changed."""
    running = gateway.settings
    changed = list(_changes(running, fresh))
    new = replace(running, id_key=fresh.id_key, digest_key=fresh.digest_key, auth=fresh.auth, log=fresh.log)
    if running.metrics_token and fresh.metrics_token:
        new = replace(new, metrics_token=fresh.metrics_token)
    rules = token_rules(fresh.auth, key_set_fetcher)
    vaults: dict[ProviderName, VaultProvider] = {}
    for name, spec in specs().items():
        section = _reloadable(running.provider(name.value), fresh.provider(name.value))
        if spec.webhooks is not None and bool(spec.webhooks.sender(section)) != (name in gateway.webhooks.senders):
            # Turned on or off, which also decides whether the vault is polled.
            section = _with(section, running.provider(name.value), lambda setting: setting.startswith("webhook_"))
        candidate = replace(new, **{name.value: section})
        if not section.enabled:
            new = candidate
        elif section != running.provider(name.value) or section.ca_file or section.client_cert_file:
            vault = open_provider(name, candidate, gateway.metrics)
            if vault.capabilities == gateway.providers[name].capabilities:
                vaults[name], new = vault, candidate
    senders = webhook_senders(new)
    fixed = {name for name in senders if new.provider(name) == running.provider(name) and not _has_files(new, name)}

    def apply() -> None:
        for name, vault in vaults.items():
            gateway.replace_vault(name, vault)
        gateway.settings = new
        if new.id_key != running.id_key:
            gateway.keys.ids.keys.replace(new.id_key.reveal())
            gateway.snapshots.clear()  # they contain ids
        gateway.keys.replace(new)
        gateway.callers.partners.replace_secrets(new.digest_key.reveal())
        gateway.callers.accept_tokens(*rules)
        gateway.webhooks.senders.update({name: one for name, one in senders.items() if name not in fixed})
        gateway.metrics_page.require(new.metrics_token.reveal())
        if new.log != running.log:
            configure_logging(new.log.level, format_of_server(new.log.format, new.mode))

    left = set(_changes(new, fresh))
    return Reloaded(tuple(one for one in changed if one not in left), tuple(sorted(left))), apply


def _has_files(settings: Settings, name: str) -> bool:
    return bool(getattr(settings.provider(name), "webhook_jwks_path", ""))


def _reloadable(running: ProviderSettings, fresh: ProviderSettings) -> ProviderSettings:
    """The fresh section, with the running values of what other parts have read at the start."""
    return _with(fresh, running, lambda setting: setting in _FIXED)


def _with(fresh: ProviderSettings, running: ProviderSettings, is_kept: Callable[[str], bool]) -> ProviderSettings:
    kept = [field.name for field in fields(running) if is_kept(field.name)]
    return replace(fresh, **{name: getattr(running, name) for name in kept})


def _changes(running: Section, fresh: Section, path: str = "") -> Iterator[str]:
    for field in fields(running):
        before, after = getattr(running, field.name), getattr(fresh, field.name)
        if isinstance(before, Section):
            yield from _changes(before, after, f"{path}{field.name}.")
        elif before != after:
            yield f"{path}{field.name}"


def validate(settings: Settings) -> None:
    """Raises SettingsError for missing or unsafe settings; logs those that are worth a warning."""
    missing = [name for names in missing_settings(settings).values() for name in names]
    if missing:
        raise SettingsError(f"missing settings: {', '.join(missing)}")
    if unsafe := [one for found in unsafe_settings(settings).values() for one in found]:
        raise SettingsError("; ".join(unsafe))
    for warning in warnings_of(settings):
        _log.warning("%s", warning)


def webhook_senders(settings: Settings) -> dict[str, WebhookSender]:
    """The vaults whose webhooks can be verified, by name. Raises SettingsError."""
    senders: dict[str, WebhookSender] = {}
    for spec in specs().values():
        sender = spec.webhooks.sender(settings.provider(spec.name)) if spec.webhooks is not None else None
        if sender is not None:
            senders[spec.name] = sender
    return senders


def key_set_fetcher(url: str, setting: str) -> Fetch:
    """Reads the key set at an issuer's address, which is validated now and fetched when a token arrives."""
    return DocumentFetcher(url, setting=setting).fetch


def key_names(settings: Settings) -> dict[str, list[str]]:
    """The names of the configured keys and webhook secrets by setting, in the order of each list."""
    lists = {ID_KEY: settings.id_key, DIGEST_KEY: settings.digest_key}
    for name in specs():
        secrets = getattr(settings.provider(name.value), "webhook_secret", None)
        if isinstance(secrets, Secrets):  # the vault signs with shared secrets
            lists[f"{name.value}.webhook_secret"] = secrets
    return {setting: [key_name(one) for one in secrets.reveal()] for setting, secrets in lists.items() if secrets}
