"""`vaultgraph endpoints`: webhook endpoints of partners and staff, and the deliveries to them."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import click

from app.cli.open_store import CommandFailed, run_with_store, store_settings
from app.cli.operator_log import note, some_of
from app.cli.options import HOURS, ConfigLocation, source_options
from app.cli.output import JSON, print_json, print_rows
from app.endpoints.addresses import EndpointRefused, PublicResolver, check_url
from app.endpoints.signing import SecretCipher, SecretKeys, new_secret
from app.settings.model import Settings
from app.store import Store, Transaction
from app.store.endpoint_deliveries import deliver_missed_events, replay_dead_deliveries, replay_endpoint_delivery
from app.store.endpoints import add_endpoint, enable_endpoint, pause_endpoint, remove_endpoint, rotate_endpoint_secret
from app.store.records import (
    DisabledReason,
    EndpointDelivery,
    EndpointDeliveryState,
    EndpointRecord,
    EventType,
    NewEndpoint,
)
from app.store.ulids import ENDPOINT, new_id
from app.vault.secret import Secret
from app.wallet.ids import first_event_id_at
from app.wallet.keys import KeyRing

T = TypeVar("T")
_PAGE: Final = 500
_COLUMNS: Final = ("id", "owner", "state", "events", "url", "failing_since")
_DELIVERY_COLUMNS: Final = (
    "endpoint",
    "event",
    "state",
    "customer",
    "attempts",
    "error",
    "created_at",
    "next_attempt_at",
)
_EVENTS: Final = sorted(one.value for one in EventType if one.is_for_customers)
_ID: Final = click.argument("endpoint_id", metavar="ep_...")


class _EventTypes(click.ParamType[Any]):
    """Event types, separated by commas."""

    name = "events"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        names = [one.strip().upper() for one in str(value).split(",") if one.strip()]
        if unknown := sorted(set(names) - set(_EVENTS)):
            self.fail(f"there is no event {', '.join(unknown)}; valid ones are {', '.join(_EVENTS)}", param, ctx)
        return names


command = click.Group("endpoints", help="Webhook endpoints of partners and staff: docs/outgoing-webhooks.md.")


@command.command(help="Send events to URL (https). The secret is the last word of the last line, and shown only once.")
@click.argument("url")
@click.option(
    "--events", "events", type=_EventTypes(), multiple=True, required=True, metavar="EVENT,...", help="Types."
)
@click.option("--partner", default=None, help="Events of this partner's customers. [default: of all, for staff]")
@source_options
def add(source: ConfigLocation, url: str, events: tuple[list[str], ...], partner: str | None) -> None:
    settings = store_settings(source)
    types = frozenset(name for names in events for name in names)
    if not types:
        raise click.BadParameter("name at least one event", param_hint="--events")
    keys, endpoint_id, secret = _keys(settings), new_id(ENDPOINT), new_secret()

    def save(tx: Transaction) -> EndpointRecord:
        sealed = keys.first.seal(endpoint_id, secret)
        new = NewEndpoint(
            id=endpoint_id, client=partner, url=url, types=types, secret=sealed, secret_key=keys.first_name
        )
        added = add_endpoint(tx, new)
        note(tx, "endpoints add", endpoint=endpoint_id, partner=partner, events=sorted(types))
        return added

    async def work(store: Store) -> EndpointRecord:
        resolver = PublicResolver(allow_loopback=settings.endpoints.allow_loopback)
        try:
            await check_url(url, resolver)
        except EndpointRefused as error:
            raise CommandFailed(f"this URL cannot be an endpoint: {error}") from None
        finally:
            await resolver.close()
        return await store.transaction(save)

    run_with_store(settings, work)
    whose = "all customers" if partner is None else f"the customers that {partner} may see"
    click.echo(f"Endpoint {endpoint_id} gets {', '.join(sorted(types))} of {whose}, from now on.")
    _show(secret)


@command.command("list", help="List endpoints, without their secrets.")
@JSON
@source_options
def list_endpoints(source: ConfigLocation, as_json: bool) -> None:
    settings = store_settings(source)
    keys = _keys_if_valid(settings)

    async def work(store: Store) -> list[dict[str, Any]]:
        return [_row(one, keys) for one in await store.endpoints.all()]

    print_rows(_COLUMNS, run_with_store(settings, work), as_json=as_json)


@command.command(help="Show one endpoint, and how many deliveries it has in each state.")
@_ID
@JSON
@source_options
def show(source: ConfigLocation, endpoint_id: str, as_json: bool) -> None:
    settings = store_settings(source)
    keys = _keys_if_valid(settings)

    async def work(store: Store) -> dict[str, Any]:
        row = _row(await _endpoint(store, endpoint_id), keys)
        counts = await store.endpoint_deliveries.counts(endpoint_id)
        return {**row, "deliveries": {state.value.lower(): count for state, count in counts.items()}}

    found = run_with_store(settings, work)
    if as_json:
        print_json(found)
        return
    counts = found.pop("deliveries")
    print_rows(
        ("name", "value"), [{"name": name, "value": one} for name, one in {**found, **counts}.items()], as_json=False
    )


@command.command(help="Delete an endpoint with its deliveries.")
@_ID
@source_options
def remove(source: ConfigLocation, endpoint_id: str) -> None:
    _change(source, endpoint_id, "endpoints remove", lambda tx: remove_endpoint(tx, endpoint_id))
    click.echo(f"The endpoint {endpoint_id} is removed.")


@command.command(help="Deliver to a disabled endpoint again: what is pending, and events from now on.")
@_ID
@source_options
def enable(source: ConfigLocation, endpoint_id: str) -> None:
    _change(source, endpoint_id, "endpoints enable", lambda tx: enable_endpoint(tx, endpoint_id) is not None)
    click.echo(f"The endpoint {endpoint_id} is enabled.")
    click.echo(f"Events of the time before: `vaultgraph endpoints replay {endpoint_id} --since TIME`.")


@command.command(help="Deliver nothing to an endpoint until it is enabled.")
@_ID
@source_options
def disable(source: ConfigLocation, endpoint_id: str) -> None:
    _change(source, endpoint_id, "endpoints disable", lambda tx: pause_endpoint(tx, endpoint_id))
    click.echo(f"The endpoint {endpoint_id} is disabled.")


@command.command("rotate-secret", help="Make a new secret. Deliveries are signed with both for some time.")
@_ID
@click.option("--old-valid-for-h", type=HOURS, default=24.0, help="Hours.")
@source_options
def rotate_secret(source: ConfigLocation, endpoint_id: str, old_valid_for_h: float) -> None:
    settings = store_settings(source)
    keys, secret = _keys(settings), new_secret()
    until = datetime.now(UTC) + timedelta(hours=old_valid_for_h)

    async def work(store: Store) -> None:
        before = await _endpoint(store, endpoint_id)
        old = _opened(before, keys) if old_valid_for_h else None
        if old is None and old_valid_for_h:
            raise CommandFailed(
                "its secret cannot be decrypted with these digest keys: add its key (`vaultgraph keys status`), or "
                "replace it without the previous one: --old-valid-for-h 0"
            )

        def save(tx: Transaction) -> None:
            rotate_endpoint_secret(
                tx,
                endpoint_id,
                secret=keys.first.seal(endpoint_id, secret),
                secret_key=keys.first_name,
                old_secret=None if old is None else keys.first.seal(endpoint_id, old),
                old_until=None if old is None else until,
            )
            note(tx, "endpoints rotate-secret", endpoint=endpoint_id, old_secret_until=until.isoformat("T", "seconds"))

        await store.transaction(save)

    run_with_store(settings, work)
    if old_valid_for_h:
        click.echo(f"Deliveries are signed with the previous secret too until {until:%Y-%m-%d %H:%M} UTC.")
    _show(secret)


@command.command(help="List an endpoint's deliveries, oldest event first.")
@_ID
@click.option(
    "--state",
    type=click.Choice(["pending", "delivered", "withheld", "dead", "all"]),
    default="all",
    help="withheld: not sent, because its partner may not see the customer any more.",
)
@JSON
@source_options
def deliveries(source: ConfigLocation, endpoint_id: str, state: str, as_json: bool) -> None:
    wanted = None if state == "all" else EndpointDeliveryState(state.upper())

    async def work(store: Store) -> list[dict[str, Any]]:
        await _endpoint(store, endpoint_id)
        return [_delivery_row(one) async for one in _deliveries(store, endpoint_id, wanted)]

    print_rows(_DELIVERY_COLUMNS, run_with_store(store_settings(source), work), as_json=as_json)


@command.command(help="List dead-lettered deliveries, of every endpoint.")
@JSON
@source_options
def dead(source: ConfigLocation, as_json: bool) -> None:
    async def work(store: Store) -> list[dict[str, Any]]:
        return [
            _delivery_row(one)
            for endpoint in await store.endpoints.all()
            async for one in _deliveries(store, endpoint.id, EndpointDeliveryState.DEAD)
        ]

    print_rows(_DELIVERY_COLUMNS, run_with_store(store_settings(source), work), as_json=as_json)


@command.command(help="Deliver events again. Receivers know an event by its id.")
@_ID
@click.argument("events", nargs=-1, metavar="[evt_...]...")
@click.option("--all-dead", is_flag=True, help="Every dead-lettered delivery of this endpoint.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    help="Every event stored since then (UTC) that was not delivered.",
)
@source_options
def replay(
    source: ConfigLocation, endpoint_id: str, events: tuple[str, ...], all_dead: bool, since: datetime | None
) -> None:
    if bool(events) + all_dead + (since is not None) != 1:
        raise click.UsageError("name events, or say --all-dead or --since")
    settings = store_settings(source)
    retry_for = timedelta(seconds=settings.endpoints.retry_for_s)

    def save(tx: Transaction) -> tuple[int, list[str]]:
        wanted = list(dict.fromkeys(events))
        due = [one for one in wanted if replay_endpoint_delivery(tx, endpoint_id, one, retry_for=retry_for)]
        count = replay_dead_deliveries(tx, endpoint_id, retry_for=retry_for) if all_dead else len(due)
        if count:
            note(tx, "endpoints replay", endpoint=endpoint_id, events=some_of(due) if due else {"count": count})
        return count, [one for one in wanted if one not in due]

    async def work(store: Store) -> tuple[int, list[str]]:
        found = await _endpoint(store, endpoint_id)
        if since is None:
            return await store.transaction(save)
        if found.disabled_at is not None:
            raise CommandFailed(f"it is disabled: `vaultgraph endpoints enable {endpoint_id}` first")
        count, after = 0, first_event_id_at(since.replace(tzinfo=UTC))
        while after:
            page = await store.transaction(deliver_missed_events, endpoint_id, after, retry_for=retry_for)
            count, after = count + page[0], page[1] or ""
        await store.transaction(lambda tx: note(tx, "endpoints replay --since", endpoint=endpoint_id, count=count))
        return count, []

    count, unknown = run_with_store(settings, work)
    if unknown:
        raise CommandFailed(f"unknown or pending, the others are due again: {', '.join(unknown)}")
    click.echo(f"{count} {'delivery' if count == 1 else 'deliveries'} due again")


def _keys(settings: Settings) -> SecretKeys:
    try:
        return KeyRing(settings.digest_key.reveal(), SecretCipher)
    except ValueError as error:
        raise CommandFailed(f"digest_key: {error}") from None


def _keys_if_valid(settings: Settings) -> SecretKeys | None:
    """None: endpoints are listed without their secrets' state."""
    with suppress(CommandFailed):
        return _keys(settings)
    return None


def _change(source: ConfigLocation, endpoint_id: str, what: str, change: Callable[[Transaction], bool]) -> None:
    """Raises CommandFailed if there is nothing to change."""

    def save(tx: Transaction) -> None:
        if not change(tx):
            raise CommandFailed("there is no such endpoint, or it is so already: see `vaultgraph endpoints list`")
        note(tx, what, endpoint=endpoint_id)

    run_with_store(store_settings(source), lambda store: store.transaction(save))


async def _endpoint(store: Store, endpoint_id: str) -> EndpointRecord:
    found = await store.endpoints.endpoint(endpoint_id)
    if found is None:
        raise CommandFailed("there is no such endpoint: see `vaultgraph endpoints list`")
    return found


async def _deliveries(
    store: Store, endpoint_id: str, state: EndpointDeliveryState | None
) -> AsyncIterator[EndpointDelivery]:
    after = ""
    while True:
        page = await store.endpoint_deliveries.page(endpoint_id, state, after=after, limit=_PAGE)
        for one in page:
            yield one
        if len(page) < _PAGE:
            return
        after = page[-1].event_id


def _show(secret: Secret) -> None:
    click.echo(f"Its secret, shown only once: {secret.reveal()}")


def _opened(record: EndpointRecord, keys: SecretKeys) -> Secret | None:
    """The endpoint's secret; None if it cannot be decrypted."""
    key = keys.keys.get(record.secret_key)
    try:
        return None if key is None else key.open(record.id, record.secret)
    except ValueError:
        return None


def _state(record: EndpointRecord, keys: SecretKeys | None) -> str:
    if record.disabled_at is not None:
        return f"disabled ({(record.disabled_reason or DisabledReason.OPERATOR).value})"
    if keys is not None and _opened(record, keys) is None:
        return "secret unreadable"
    return "failing" if record.failing_since else "enabled"


def _row(record: EndpointRecord, keys: SecretKeys | None) -> dict[str, Any]:
    return {
        "id": record.id,
        "owner": record.client or "staff",
        "state": _state(record, keys),
        "events": sorted(record.types),
        "url": record.url,
        "failing_since": record.failing_since,
        "created_at": record.created_at,
        "disabled_at": record.disabled_at,
        "old_secret_until": record.old_secret_until,
    }


def _delivery_row(one: EndpointDelivery) -> dict[str, Any]:
    return {
        "endpoint": one.endpoint_id,
        "event": one.event_id,
        "state": one.state.value,
        "customer": one.customer_id,
        "attempts": one.attempts,
        "status": one.status,
        "error": one.error,
        "created_at": one.created_at,
        "next_attempt_at": one.next_attempt_at,
        "done_at": one.done_at,
    }
