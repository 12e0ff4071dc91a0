"""`vaultgraph payments`: lists payments that need an operator and records their outcome."""

import asyncio
import json
from pathlib import Path

import click

from app.cli.commands.open_store import open_store, store_settings
from app.cli.commands.startup_errors import store_startup_errors
from app.errors import VaultgraphError
from app.store.records import EventOrigin, PaymentRecord, PaymentState
from app.wallet.caller import OPERATOR_KEY
from app.wallet.money import to_decimal
from app.wallet.writes.payment_status import StatusUpdate, settle_payment

_ENDS = {"completed": PaymentState.CAPTURED, "failed": PaymentState.DECLINED}


class PaymentsError(VaultgraphError):
    """The command failed; the message gives the reason."""


def run_list(state: str, *, config_file: Path | None, data_dir: Path | None) -> None:
    wanted = next((one for one in PaymentState if one.value == state.upper()), None)
    if wanted is None:
        raise PaymentsError(f"--state must be one of {' '.join(PaymentState)}")

    async def main() -> None:
        async with open_store(store_settings(config_file, data_dir)) as store:
            with store_startup_errors():
                after = ""
                while page := await store.payments.in_state(wanted, after=after):
                    for payment in page:
                        click.echo(_line(payment))
                    after = page[-1].id

    asyncio.run(main())


def _line(payment: PaymentRecord) -> str:
    total = f"{to_decimal(payment.total or 0, payment.currency)} {payment.currency}"
    at_vault = f"{payment.method.provider.value} {payment.payment_ref}"
    return f"{payment.id}  {payment.state.value}  {at_vault}  {total}  {json.dumps(payment.reference)}"


def run_resolve(payment_id: str, end: str, *, config_file: Path | None, data_dir: Path | None) -> None:
    settings = store_settings(config_file, data_dir)

    async def main() -> None:
        async with open_store(settings) as store:
            with store_startup_errors():
                payment = await store.payments.payment(payment_id)
                if payment is None:
                    raise PaymentsError("there is no such payment")
                update = StatusUpdate(state=_ENDS[end], origin=EventOrigin.GATEWAY, actor=OPERATOR_KEY)
                async with store.transaction() as tx:
                    settled = await settle_payment(store, payment.id, update, tx=tx)
        if settled is None:
            raise PaymentsError("the payment is already final")
        click.echo(f"{payment_id} {end}")

    asyncio.run(main())
