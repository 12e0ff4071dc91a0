"""What each type of webhook event does, by vault."""

from collections.abc import Mapping

from app.vault.enums import ProviderName
from app.vault.webhooks import ReportsPayment, RereadsCustomer, RereadsMethods, WebhookEffect
from app.wallet.changes.webhook_worker import Handler, WebhookDeps, reread_customer, reread_named_methods
from app.wallet.writes.payment_status import payment_status_handler


def webhook_handlers(
    deps: WebhookDeps, effects: Mapping[ProviderName, Mapping[str, WebhookEffect]]
) -> dict[tuple[str, str], Handler]:
    """By vault and type of event."""
    return {
        (name, event_type): _handler(deps, name, effect)
        for name, by_type in effects.items()
        for event_type, effect in by_type.items()
    }


def _handler(deps: WebhookDeps, name: ProviderName, effect: WebhookEffect) -> Handler:
    match effect:
        case RereadsMethods(field):
            return reread_named_methods(deps, name, field)
        case RereadsCustomer(field):
            return reread_customer(deps, name, field)
        case ReportsPayment(state):
            return payment_status_handler(deps.store, name, state)
