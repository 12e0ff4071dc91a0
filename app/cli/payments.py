"""`vaultgraph payments`: lists payments that need an operator and records their outcome."""

from typing import Any, Final

import click

from app.cli.open_store import CommandFailed, run_with_store, store_settings
from app.cli.options import ConfigLocation, source_options
from app.cli.output import JSON, all_pages, fields_of, print_rows
from app.store import Store
from app.store.records import EventOrigin, PaymentRecord, PaymentState
from app.wallet.caller import OPERATOR_KEY
from app.wallet.money import to_decimal
from app.wallet.writes.payment_status import StatusUpdate, settle_payment

_ENDS: Final = {"completed": PaymentState.CAPTURED, "failed": PaymentState.DECLINED}
_COLUMNS: Final = ("id", "state", "vault", "payment_ref", "total", "currency", "reference")
command = click.Group("payments", help="Resolve payments that need an operator.")


@command.command("list", help="List payments, oldest first.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in PaymentState], case_sensitive=False),
    default="UNKNOWN",
    help="Payment state to list.",
)
@JSON
@source_options
def list_payments(source: ConfigLocation, state: str, as_json: bool) -> None:
    wanted = PaymentState(state)
    found = run_with_store(store_settings(source), lambda store: all_pages(store.payments.in_state, wanted))
    print_rows(_COLUMNS, [_row(one) for one in found], as_json=as_json)


def _row(one: PaymentRecord) -> dict[str, Any]:
    return {
        **fields_of(one, "id", "state"),
        "vault": one.method.provider,
        "payment_ref": one.payment_ref,
        "total": str(to_decimal(one.total or 0, one.currency)),
        **fields_of(one, "currency", "reference"),
    }


@command.command(help="Report the outcome of a payment whose capture got no reply. Look it up at the vault first.")
@click.argument("payment_id", metavar="pay_...")
@click.argument("end", type=click.Choice(list(_ENDS)))
@source_options
def resolve(source: ConfigLocation, payment_id: str, end: str) -> None:
    async def work(store: Store) -> None:
        payment = await store.payments.payment(payment_id)
        if payment is None:
            raise CommandFailed("there is no such payment: see `vaultgraph payments list`")
        update = StatusUpdate(state=_ENDS[end], origin=EventOrigin.GATEWAY, actor=OPERATOR_KEY)
        settled = await store.transaction(settle_payment, payment.id, update)
        if settled is None:
            raise CommandFailed("the payment is already final")

    run_with_store(store_settings(source), work)
    click.echo(f"{payment_id} {end}")
