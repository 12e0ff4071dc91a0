"""Builds the worker from the settings."""

from collections.abc import Callable
from datetime import timedelta

from app.endpoints.addresses import PublicResolver
from app.endpoints.sender import WebhookSender
from app.endpoints.signing import SecretKeys
from app.endpoints.worker import EndpointPace, EndpointWorker
from app.settings.model import EndpointSettings
from app.store import Store
from app.wallet.ids import Ids
from app.wallet.writes.lease import WorkerLease


def build_endpoint_worker(
    settings: EndpointSettings,
    store: Store,
    keys: SecretKeys,
    ids: Ids,
    owner: WorkerLease,
    on_attempt: Callable[[str], None],
) -> EndpointWorker:
    pace = EndpointPace(
        first_retry_s=settings.first_retry_s,
        longest_retry_s=settings.longest_retry_s,
        retry_for=timedelta(seconds=settings.retry_for_s),
        disable_after=timedelta(seconds=settings.disable_after_s),
        concurrency=settings.concurrency,
    )
    sender = WebhookSender(PublicResolver(allow_loopback=settings.allow_loopback), timeout_s=settings.timeout_s)
    return EndpointWorker(store, sender, keys, ids, pace, name=owner.id, gone=owner.killed, on_attempt=on_attempt)
