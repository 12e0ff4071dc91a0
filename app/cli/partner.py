"""`vaultgraph partner`: manages API keys, their scopes and the customers they may see."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from app.api.auth.api_keys import KeyHasher, new_key
from app.cli.open_store import CommandFailed, run_with_store, store_settings
from app.cli.operator_log import note
from app.cli.options import CREATE, HOURS, SCOPES, ConfigLocation, TakesScopes, checked_scopes, source_options
from app.cli.output import JSON, fields_of, print_rows
from app.settings.model import Settings
from app.store import Store, Transaction
from app.store.clients import (
    add_client,
    change_client,
    enable_client,
    grant_customers,
    revoke_client_key,
    revoke_customers,
    rotate_key,
)
from app.store.errors import ClientExists, ClientUnknown, CustomerUnknown
from app.store.records import ClientRecord
from app.wallet.caller import ALL_CUSTOMERS_SCOPES

_ALL_CUSTOMERS_WHY: Final = "linking a vault's customer shows its payment methods"
_KEY_COLUMNS: Final = ("id", "created_at", "expires_at", "last_used_at")
_COLUMNS: Final = ("name", "state", "keys", "customers", "scopes", "note")
command = click.Group("partner", help="Partner apps: their keys, scopes and customers.")


@command.command(
    cls=TakesScopes, help="Add a partner. Its key is the last word of the last line and is shown only once."
)
@click.argument("name")
@SCOPES
@CREATE
@click.option(
    "--customers", type=click.Choice(["granted", "all"]), default="granted", help="Customers that the partner may see."
)
@click.option("--all-customers", "customers", flag_value="all", help="The same as --customers all.")
@source_options
def add(source: ConfigLocation, name: str, scopes: tuple[str, ...], customers: str) -> None:
    sees_all = customers == "all"
    if not name or len(name) > 100 or not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
        raise click.BadParameter("a partner's name has letters, digits, - and _", param_hint="NAME")
    wanted = checked_scopes(scopes)
    if not wanted:
        raise click.BadParameter("say what the partner may do", param_hint="--scope")
    if not sees_all and (refused := ALL_CUSTOMERS_SCOPES & wanted):
        raise click.BadParameter(
            f"--all-customers is needed for {_joined(refused)}: {_ALL_CUSTOMERS_WHY}", param_hint="--scope"
        )

    settings = store_settings(source)
    key, stored = _new_key(settings)

    def save(tx: Transaction) -> None:
        add_client(tx, name, **stored, scopes=wanted, sees_all_customers=sees_all)
        note(tx, "partner add", partner=name, scopes=sorted(wanted), all_customers=sees_all)

    try:
        run_with_store(settings, lambda store: store.transaction(save))
    except ClientExists:
        raise CommandFailed("a partner with this name exists: `vaultgraph partner rotate` issues a new key") from None
    click.echo(f"Partner {name} may: {', '.join(sorted(wanted))}")
    granted = f"the customers granted to it, none so far: `vaultgraph partner grant {name} cus_...`"
    click.echo(f"It sees {'all customers' if sees_all else granted}.")
    click.echo(f"It runs published documents only: `vaultgraph documents publish {name} FILE`.")
    _show(key)


@command.command(help="Issue a new key, printed as the last word of the last line. The previous key stays valid.")
@click.argument("name")
@click.option("--old-valid-for-h", type=HOURS, default=None, help="Hours. [default: no end]")
@source_options
def rotate(source: ConfigLocation, name: str, old_valid_for_h: float | None) -> None:
    settings = store_settings(source)
    key, stored = _new_key(settings)
    until = None if old_valid_for_h is None else datetime.now(UTC) + timedelta(hours=old_valid_for_h)

    def save(tx: Transaction) -> None:
        rotate_key(tx, name, **stored, old_until=until)
        ends = None if until is None else until.isoformat(timespec="seconds")
        note(tx, "partner rotate", partner=name, old_key_until=ends)

    run_with_store(settings, lambda store: store.transaction(save))
    ends = f"{until:%Y-%m-%d %H:%M} UTC" if until else "the next rotation"
    click.echo(f"The previous key stays valid until {ends}.")
    _show(key)


@command.command(cls=TakesScopes, help="Replace the partner's scopes, or change which customers it may see.")
@click.argument("name")
@SCOPES
@click.option("--customers", type=click.Choice(["granted", "all"]), help="Customers that the partner may see.")
@source_options
def change(source: ConfigLocation, name: str, scopes: tuple[str, ...], customers: str | None) -> None:
    wanted = checked_scopes(scopes) or None
    if wanted is None and customers is None:
        raise click.UsageError("say what to change: --scope or --customers")

    def save(tx: Transaction) -> ClientRecord:
        sees_all = None if customers is None else customers == "all"
        record = change_client(tx, name, scopes=wanted, sees_all_customers=sees_all)
        if refused := _without_effect(record):
            raise CommandFailed(f"--customers all is needed for {_joined(refused)}: {_ALL_CUSTOMERS_WHY}")
        detail: dict[str, Any] = {"scopes": sorted(record.scopes), "all_customers": record.sees_all_customers}
        note(tx, "partner change", partner=name, **detail)
        return record

    record = run_with_store(store_settings(source), lambda store: store.transaction(save))
    click.echo(f"Partner {name} may: {', '.join(sorted(record.scopes))}")
    click.echo(f"It sees {'all customers' if record.sees_all_customers else 'the customers granted to it'}.")


@command.command("keys", help="List the partner's valid keys: their ids, when they were made, and last used.")
@click.argument("name")
@JSON
@source_options
def list_keys(source: ConfigLocation, name: str, as_json: bool) -> None:
    async def work(store: Store) -> list[dict[str, Any]]:
        record = await store.clients.client(name)
        if record is None:
            raise ClientUnknown("no such client")
        return [fields_of(key, *_KEY_COLUMNS, "digest_key") for key in record.keys]

    print_rows(_KEY_COLUMNS, run_with_store(store_settings(source), work), as_json=as_json)


@command.command(help="Reject one of the partner's keys from now on.")
@click.argument("name")
@click.argument("key_id", metavar="key_...")
@source_options
def revoke(source: ConfigLocation, name: str, key_id: str) -> None:
    def save(tx: Transaction) -> bool:
        is_gone = revoke_client_key(tx, name, key_id)
        if is_gone:
            note(tx, "partner revoke", partner=name, key_id=key_id)
        return is_gone

    if not run_with_store(store_settings(source), lambda store: store.transaction(save)):
        raise CommandFailed(f"the partner has no such key: see `vaultgraph partner keys {name}`")
    click.echo(f"The key {key_id} of {name} is revoked: it is rejected within a second.")


@command.command(help="Reject the partner's keys from now on.")
@click.argument("name")
@source_options
def disable(source: ConfigLocation, name: str) -> None:
    _set_enabled(source, name, False)
    click.echo(f"Partner {name} is disabled: its keys are rejected within a second.")


@command.command(help="Accept a disabled partner's keys again.")
@click.argument("name")
@source_options
def enable(source: ConfigLocation, name: str) -> None:
    _set_enabled(source, name, True)
    click.echo(f"Partner {name} is enabled.")


def _set_enabled(source: ConfigLocation, name: str, is_enabled: bool) -> None:
    def save(tx: Transaction) -> None:
        enable_client(tx, name, is_enabled=is_enabled)
        note(tx, f"partner {'enable' if is_enabled else 'disable'}", partner=name)

    run_with_store(store_settings(source), lambda store: store.transaction(save))


@command.command(help="Grant the partner access to these customers.")
@click.argument("name")
@click.argument("customers", nargs=-1, required=True, metavar="cus_...")
@click.option("--take-back", is_flag=True, help="Revoke these grants instead.")
@source_options
def grant(source: ConfigLocation, name: str, customers: tuple[str, ...], take_back: bool) -> None:
    def save_revocation(tx: Transaction) -> int:
        gone = revoke_customers(tx, name, customers)
        for customer in dict.fromkeys(customers if gone else ()):
            note(tx, "partner grant --take-back", customer_id=customer, partner=name)
        return gone

    def save_grants(tx: Transaction) -> None:
        grant_customers(tx, name, customers)
        for customer in dict.fromkeys(customers):
            note(tx, "partner grant", customer_id=customer, partner=name)

    async def revoke(store: Store) -> str:
        return f"Revoked {await store.transaction(save_revocation)} grants of {name}."

    async def work(store: Store) -> str:
        record = await store.clients.client(name)
        if record is not None and (refused := _without_effect(record)):
            raise CommandFailed(
                f"{name} has {_joined(refused)}, only for partners that see all customers: {_ALL_CUSTOMERS_WHY}. "
                "Add a partner without, and grant it the customers"
            )
        await store.transaction(save_grants)
        return f"Partner {name} sees {', '.join(customers)}."

    try:
        click.echo(run_with_store(store_settings(source), revoke if take_back else work))
    except CustomerUnknown:
        raise CommandFailed(
            "nothing was granted, because one of the ids is unknown: the query customers lists those that there are"
        ) from None


@command.command("list", help="List partners, without keys.")
@JSON
@source_options
def list_partners(source: ConfigLocation, as_json: bool) -> None:
    async def work(store: Store) -> list[dict[str, Any]]:
        return [_row(record) for record in await store.clients.all()]

    print_rows(_COLUMNS, run_with_store(store_settings(source), work), as_json=as_json)


def _new_key(settings: Settings) -> tuple[str, dict[str, str]]:
    """A new key, and what the store keeps of it."""
    key, hasher = new_key(), KeyHasher(*settings.digest_key.reveal())
    return key, {"key_hash": hasher.hash(key), "digest_key": hasher.keys.first_name}


def _joined(scopes: Collection[str]) -> str:
    return " and ".join(sorted(scopes))


def _without_effect(record: ClientRecord) -> frozenset[str]:
    """Scopes that need access to all customers, held by a partner without it. Older releases allowed this."""
    return frozenset() if record.sees_all_customers else ALL_CUSTOMERS_SCOPES & record.scopes


def _show(key: str) -> None:
    click.echo(f"Its key, shown only once: {key}")


def _row(record: ClientRecord) -> dict[str, Any]:
    unused = _without_effect(record)
    return {
        "name": record.name,
        "state": "disabled" if record.disabled_at else "enabled",
        "keys": len(record.keys),
        "customers": "all" if record.sees_all_customers else "granted",
        "scopes": sorted(record.scopes),
        "note": f"without effect, because it does not see all customers: {_joined(unused)}" if unused else None,
    }
