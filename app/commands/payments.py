"""`vaultgraph payments resolve`: a person says how a payment ended whose capture was never answered."""

import asyncio
from pathlib import Path

import click

from app.commands.starting import opening_the_store
from app.commands.storing import opened_store, store_settings
from app.errors import VaultgraphError
from app.store.records import EventOrigin, PaymentState
from app.wallet.writing.payment_status import StatusUpdate, settle_payment

_ENDS = {"completed": PaymentState.CAPTURED, "failed": PaymentState.DECLINED}


class PaymentsError(VaultgraphError):
    """The command cannot be carried out; the message says why."""


def run_resolve(payment_id: str, end: str, *, config_file: Path | None, data_dir: Path | None) -> None:
    settings = store_settings(config_file, data_dir)

    async def main() -> None:
        async with opened_store(settings) as store:
            with opening_the_store():
                payment = await store.payments.payment(payment_id)
                if payment is None:
                    raise PaymentsError("there is no such payment")
                update = StatusUpdate(state=_ENDS[end], origin=EventOrigin.GATEWAY, actor="operator")
                async with store.transaction() as tx:
                    settled = await settle_payment(store, payment.id, update, tx=tx)
        if settled is None:
            raise PaymentsError("the payment has ended already")
        click.echo(f"{payment_id} {end}")

    asyncio.run(main())
