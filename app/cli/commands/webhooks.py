"""`vaultgraph webhooks`: lists dead-lettered deliveries and replays them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from app.cli.commands.open_store import open_store, store_settings
from app.cli.commands.operator_log import note, some_of
from app.cli.commands.startup_errors import store_startup_errors
from app.errors import VaultgraphError
from app.store import Store
from app.store.records import DeliveryRecord, DeliveryState

_PAGE: Final = 100


class NoSuchDelivery(VaultgraphError):
    """A delivery is unknown or still pending."""


def run_list(config_file: Path | None, data_dir: Path | None, state: DeliveryState | None) -> None:
    """Print one line per delivery, oldest first, without its body."""

    async def main() -> None:
        async with open_store(store_settings(config_file, data_dir)) as store:
            with store_startup_errors():
                await _list(store, state)

    asyncio.run(main())


async def _list(store: Store, state: DeliveryState | None) -> None:
    after = ""
    while True:
        page = await store.receipts.all(state, after=after, limit=_PAGE)
        for receipt in page:
            click.echo(_line(receipt))
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _line(receipt: DeliveryRecord) -> str:
    tried = f"{receipt.attempts} attempt{'' if receipt.attempts == 1 else 's'}"
    words = [
        receipt.id,
        receipt.state.value,
        receipt.received_at.isoformat(timespec="seconds"),
        f"{receipt.source}/{receipt.account}" if receipt.account else receipt.source,
        receipt.event_type,
        tried,
    ]
    return "  ".join([*words, receipt.error] if receipt.error else words)


def run_replay(config_file: Path | None, data_dir: Path | None, ids: Sequence[str], *, all_dead: bool) -> None:
    """Make deliveries due again: a running gateway processes them at its next poll."""

    async def main() -> int:
        async with open_store(store_settings(config_file, data_dir)) as store:
            with store_startup_errors():
                wanted = await _dead(store) if all_dead else list(dict.fromkeys(ids))
                async with store.transaction() as tx:
                    due = [one for one in wanted if await store.receipts.replay(one, tx=tx) is not None]
                    if due:
                        await note(store, tx, "webhooks replay", deliveries=some_of(due))
                unknown = [one for one in wanted if one not in due]
        if unknown:
            raise NoSuchDelivery(f"unknown, or neither dead nor done: {', '.join(unknown)}")
        return len(wanted)

    count = asyncio.run(main())
    click.echo(f"{count} {'delivery' if count == 1 else 'deliveries'} due again")


async def _dead(store: Store) -> list[str]:
    found: list[str] = []
    while True:
        page = await store.receipts.all(DeliveryState.DEAD, after=found[-1] if found else "", limit=_PAGE)
        found += [receipt.id for receipt in page]
        if len(page) < _PAGE:
            return found
