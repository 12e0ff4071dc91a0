"""`vaultgraph partner`: manages API keys, their scopes and the customers they may see."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from app.api.auth.api_keys import KeyHasher, new_key
from app.cli.commands.open_store import open_store, store_settings
from app.cli.commands.operator_log import note
from app.cli.commands.startup_errors import store_startup_errors
from app.cli.commands.token import checked_scopes
from app.errors import VaultgraphError
from app.store import Store
from app.store.errors import ClientExists, ClientUnknown, CustomerUnknown
from app.store.records import ClientRecord
from app.wallet.caller import ALL_CUSTOMERS_SCOPES

Work = Callable[[Store, KeyHasher], Awaitable[None]]


class PartnerError(VaultgraphError):
    """The command failed; the message gives the reason."""


class PartnerTarget:
    """Location of the partners: `--config` and `--data-dir`."""

    def __init__(self, config_file: Path | None, data_dir: Path | None) -> None:
        self._config_file = config_file
        self._data_dir = data_dir

    def run(self, work: Work) -> None:
        settings = store_settings(self._config_file, self._data_dir)
        hasher = KeyHasher(settings.digest_key.reveal())

        async def main() -> None:
            async with open_store(settings) as store:
                with store_startup_errors():
                    await work(store, hasher)

        try:
            asyncio.run(main())
        except ClientExists:
            raise PartnerError(
                "a partner with this name exists: `vaultgraph partner rotate` issues a new key"
            ) from None
        except ClientUnknown:
            raise PartnerError("there is no partner with this name: see `vaultgraph partner list`") from None
        except CustomerUnknown:
            raise PartnerError("one of the customers is unknown: nothing was granted") from None


def run_add(place: PartnerTarget, name: str, scopes: Sequence[str], *, sees_all: bool) -> None:
    if not name or len(name) > 100 or not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
        raise click.BadParameter("a partner's name has letters, digits, - and _", param_hint="NAME")
    wanted = checked_scopes(scopes)
    if not wanted:
        raise click.BadParameter("say what the partner may do", param_hint="--scope")
    if not sees_all and (refused := ALL_CUSTOMERS_SCOPES & wanted):
        raise click.BadParameter(
            f"--all-customers is needed for {_joined(refused)}: {_ALL_CUSTOMERS_WHY}", param_hint="--scope"
        )

    async def work(store: Store, hasher: KeyHasher) -> None:
        key = new_key()
        async with store.transaction() as tx:
            await store.clients.add(name, key_hash=hasher.hash(key), scopes=wanted, sees_all_customers=sees_all, tx=tx)
            await note(store, tx, "partner add", partner=name, scopes=sorted(wanted), all_customers=sees_all)
        click.echo(f"Partner {name} may: {', '.join(sorted(wanted))}")
        click.echo(f"It sees {'all customers' if sees_all else 'the customers granted to it, none so far'}.")
        _show(key)

    place.run(work)


def run_rotate(place: PartnerTarget, name: str, *, old_valid_for_h: float | None) -> None:
    async def work(store: Store, hasher: KeyHasher) -> None:
        key = new_key()
        until = None if old_valid_for_h is None else datetime.now(UTC) + timedelta(hours=old_valid_for_h)
        async with store.transaction() as tx:
            await store.clients.rotate(name, hasher.hash(key), old_until=until, tx=tx)
            ends = None if until is None else until.isoformat(timespec="seconds")
            await note(store, tx, "partner rotate", partner=name, old_key_until=ends)
        click.echo(f"The previous key is valid until {until:%Y-%m-%d %H:%M} UTC." if until else _PREVIOUS_STAYS_VALID)
        _show(key)

    place.run(work)


def run_disable(place: PartnerTarget, name: str, *, disabled: bool) -> None:
    async def work(store: Store, _: KeyHasher) -> None:
        async with store.transaction() as tx:
            await (store.clients.disable(name, tx=tx) if disabled else store.clients.enable(name, tx=tx))
            await note(store, tx, f"partner {'disable' if disabled else 'enable'}", partner=name)
        click.echo(f"Partner {name} is {'disabled: its keys are rejected within a second' if disabled else 'enabled'}.")

    place.run(work)


def run_grant(place: PartnerTarget, name: str, customers: Sequence[str], *, take_back: bool) -> None:
    async def work(store: Store, _: KeyHasher) -> None:
        if take_back:
            async with store.transaction() as tx:
                gone = await store.clients.revoke(name, customers, tx=tx)
                for customer in dict.fromkeys(customers if gone else ()):
                    await note(store, tx, "partner grant --take-back", customer_id=customer, partner=name)
            click.echo(f"Revoked {gone} grants of {name}.")
        else:
            record = await store.clients.client(name)
            if record is not None and (refused := _without_effect(record)):
                raise PartnerError(
                    f"{name} has {_joined(refused)}, only for partners that see all customers: {_ALL_CUSTOMERS_WHY}. "
                    "Add a partner without, and grant it the customers"
                )
            async with store.transaction() as tx:
                await store.clients.grant(name, customers, tx=tx)
                for customer in dict.fromkeys(customers):
                    await note(store, tx, "partner grant", customer_id=customer, partner=name)
            click.echo(f"Partner {name} sees {', '.join(customers)}.")

    place.run(work)


def run_list(place: PartnerTarget) -> None:
    async def work(store: Store, _: KeyHasher) -> None:
        for record in await store.clients.all():
            click.echo(_line(record))

    place.run(work)


_ALL_CUSTOMERS_WHY: Final = "linking a vault's customer shows its payment methods"


def _joined(scopes: Collection[str]) -> str:
    return " and ".join(sorted(scopes))


def _without_effect(record: ClientRecord) -> frozenset[str]:
    """Scopes that need access to all customers, held by a partner without it. Older releases allowed this."""
    return frozenset() if record.sees_all_customers else ALL_CUSTOMERS_SCOPES & record.scopes


_PREVIOUS_STAYS_VALID = "The previous key stays valid until the next rotation."


def _show(key: str) -> None:
    click.echo(f"Its key, shown only once: {key}")


def _line(record: ClientRecord) -> str:
    state = "disabled" if record.disabled_at else f"{len(record.keys)} key{'' if len(record.keys) == 1 else 's'}"
    customers = "all customers" if record.sees_all_customers else "granted customers"
    unused = _without_effect(record)
    note = f"  (without effect, because it does not see all customers: {_joined(unused)})" if unused else ""
    return f"{record.name:24} {state:9} {customers:18} {' '.join(sorted(record.scopes))}{note}"
