"""The gateway's own keys of one process, which can be replaced at runtime."""

import logging
from collections.abc import Mapping
from typing import Final

from app.http.fetch import DocumentFetcher
from app.http.jwks import Fetch
from app.providers.registry import canonical_ref, specs
from app.settings.model import Settings
from app.store import Store
from app.vault.secret import Secrets
from app.wallet.digest import DIGEST_KEY, DigestKeys
from app.wallet.ids import Ids
from app.wallet.keys import key_name
from app.wallet.writes.lease import WorkerLease

_log = logging.getLogger("vaultgraph")
ID_KEY: Final = "id_key"


class GatewayKeys:
    """`webhooks` has the names of each vault's webhook secrets. A list's first key is used for new data."""

    def __init__(self, settings: Settings) -> None:
        self.digest = DigestKeys(settings.digest_key.reveal(), lambda secret: secret)
        self.ids = Ids(settings.id_key.reveal(), canonical_ref=canonical_ref)
        self.webhooks = {name: keys for name, keys in key_names(settings).items() if name not in (ID_KEY, DIGEST_KEY)}

    def by_setting(self) -> Mapping[str, list[str]]:
        """Names by setting, in the order of the list."""
        return {ID_KEY: list(self.ids.keys.keys), DIGEST_KEY: list(self.digest.keys), **self.webhooks}

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
