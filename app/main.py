"""Composition root: builds the ASGI application from the settings."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from app.api import graphiql
from app.api.audit import Audit
from app.api.auth.compose import build_callers
from app.api.auth.key_uses import KeyUseRecorder
from app.api.compose import agent_endpoint, endpoint_limits, limits_of, origin_policy, socket_limits
from app.api.cors import Cors, HostChecked
from app.api.documents.compose import DocumentServices
from app.api.endpoint import GraphQLEndpoint
from app.api.health import Probe, healthz, readyz
from app.api.limits import Limiter
from app.api.limits.rate import LocalBuckets, RateLimiter, budgets_of
from app.api.limits.shared_rate import RedisBuckets
from app.api.limits.worker_rate import WorkerBuckets
from app.api.metrics import Metrics
from app.api.metrics_page import MetricsPage
from app.api.request_policy import DefaultRequestPolicy
from app.api.request_record import RequestObserver
from app.api.response import HttpResponse
from app.api.router import GatewayApp
from app.api.shared_metrics import SharedMetrics
from app.api.state_metrics import BacklogGauges, StateGauges, StoreGauges
from app.api.status.pages import StatusPages
from app.api.webhooks import WebhookReceiver
from app.caching.shared_redis import SharedRedis
from app.endpoints.compose import build_endpoint_worker
from app.errors import SettingsError
from app.execution.documents import DocumentCache
from app.execution.plans import Plans
from app.http.client import VaultHttpClient
from app.providers.registry import build_providers, canonical_ref, specs
from app.server.addresses import TrustedProxies
from app.server.connections import ConnectionLimits
from app.server.reload import ID_KEY, GatewayKeys, key_set_fetcher, validate, webhook_senders
from app.server.workers import Seat
from app.settings.model import Settings
from app.store import Store, make_engine, migrate, require_schema
from app.store.database import utc_now
from app.store.errors import logged
from app.store.notifications import Signal
from app.store.records import ChangeNotice, EventOrigin, EventType, MethodAddress, NewDelivery, Topic
from app.telemetry.trace_context import TraceContext
from app.telemetry.tracing import start_tracing
from app.vault.enums import CircuitState, ProviderName
from app.vault.provider import VaultProvider
from app.wallet.caller import Caller
from app.wallet.changes.daily_jobs import DailyJobs
from app.wallet.changes.detector import ChangeDetector
from app.wallet.changes.feed import Feed, FeedPace
from app.wallet.changes.follower import ChangeFollower
from app.wallet.changes.poller import Poller, PollerPace
from app.wallet.changes.recorder import ObservationPace, ObservationQueue
from app.wallet.changes.webhook_handlers import webhook_handlers
from app.wallet.changes.webhook_worker import WebhookDeps, WebhookWorker
from app.wallet.defaults.kept_default import DefaultKeeper
from app.wallet.defaults.stored_choice import ChoiceChange, StoredChoices
from app.wallet.keys import derive_key
from app.wallet.reads.build_wallet import DefaultInfo, WalletRules
from app.wallet.reads.cache import SnapshotCache
from app.wallet.reads.customers import CustomerCache
from app.wallet.reads.export import CustomerExporter
from app.wallet.reads.policy import read_policies
from app.wallet.reads.reader import WalletReader, to_cached_wallet
from app.wallet.reads.shared_snapshots import SharedSnapshotCache
from app.wallet.writes import WalletWriter
from app.wallet.writes.deps import Deps
from app.wallet.writes.lease import WorkerLease
from app.wallet.writes.reconcile import Reconciler
from resolvers.context import Context, Services
from resolvers.inputs.urls import ReturnOrigins
from resolvers.scalars import JSON_SCHEMAS
from resolvers.schema import print_sdl, schema
from resolvers.sensitive_rule import SecretsInVariablesOnly

_log = logging.getLogger("vaultgraph")

Hook = Callable[["Gateway"], Awaitable[None]]


class Gateway:
    """The gateway of one process. Create it outside an event loop; it opens nothing before `start`, which the server
    calls."""

    def __init__(self, settings: Settings, *, page_token: str | None = None, seat: Seat | None = None) -> None:
        """`page_token` fills GraphiQL's headers; set only in development. `seat` is that of one of several workers."""
        validate(settings)
        self.settings = settings
        self._page_token = page_token
        self.after_start: list[Hook] = []
        self.is_draining = False
        self.store = Store.open(store_url(settings))
        self.keys = GatewayKeys(settings)
        self.ids = self.keys.ids
        self.owner = WorkerLease(self.store, utc_now, keys=self.keys.by_setting)
        self.key_uses = KeyUseRecorder(self.store, self.owner)
        self.ids.on_old_key = partial(self.key_uses.old_key_used, ID_KEY)
        self.callers = build_callers(settings, self.store.clients, key_set_fetcher, self.key_uses)
        self.metrics = Metrics()
        self._shared_metrics = SharedMetrics(self.metrics.registry, seat.folder, seat.number) if seat else None
        self.audit = Audit(self.store.events, observer=self.metrics)
        self._buckets = LocalBuckets() if seat is None else WorkerBuckets(seat.folder / "rates")
        self.shared_buckets = _shared_buckets(settings, self._buckets)
        self.providers = build_providers(settings, self.metrics)
        self.snapshots = _snapshots(settings, self.keys)
        self._http_clients: dict[str, VaultHttpClient] = {}
        self._adapters: dict[str, VaultProvider] = {}
        for name, vault in self.providers.items():
            self._watch_vault(name, vault)
        self.metrics.watch(self._http_clients, self.snapshots, self._adapters)
        self.change_detector = ChangeDetector(self.store, self._on_method_added)
        self.choices = StoredChoices(self.store, timedelta(seconds=settings.default.clear_after_s))
        policies = read_policies(settings)
        pace = ObservationPace(
            per_s=settings.watch.notes_per_s, longest_read_s=max(one.deadline_s for one in policies.values())
        )
        self.observations = ObservationQueue(self.store, self.change_detector, pace, self.owner.is_settling)
        observations = self.observations
        self.reader = WalletReader(
            self.providers,
            self.snapshots,
            self.ids,
            policies,
            observations.record,
            observations.record_status,
            observations.record_not_found,
        )
        self.directory = CustomerCache(self.store.directory, on_forgotten=self.snapshots.drop)
        self.rules = _rules(settings, self.providers)
        self.default_keeper = DefaultKeeper(self.store, self.reader, self.rules, utc_now)
        self.writer = WalletWriter(self._write_deps())
        self.reconciler = Reconciler(self.writer)
        poll_s = settings.store.poll_s
        self.changes = ChangeFollower(self.store, self._invalidate, self._invalidate_all, poll_s=poll_s)
        self.feed = Feed(self.store, FeedPace(poll_s=poll_s), self.changes.catch_up)
        self.webhooks = WebhookReceiver(webhook_senders(settings), self._store_delivery, self._on_old_secret)
        self.poller = self._poller()
        self.services = self._services()
        deps = WebhookDeps(self.store, self.providers, self.snapshots, self.change_detector, self.choices)
        self.sweep = DailyJobs(self.store, every_s=settings.watch.sweep_every_s, soon_days=settings.expiring_soon_days)
        effects = {name: spec.webhooks.effects for name, spec in specs().items() if spec.webhooks is not None}
        handlers = webhook_handlers(deps, effects)
        self.webhook_worker = WebhookWorker(deps, handlers, name=self.owner.id, gone=self.owner.killed)
        self.endpoint_worker = build_endpoint_worker(
            settings.endpoints, self.store, self.keys.endpoints, self.ids, self.owner, self.metrics.on_endpoint_attempt
        )
        self.has_bundled_graphiql = graphiql.assets_folder() is not None
        self.app = self._build_app()
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Migrate the store or check its schema, run the hooks, start the background tasks. Raises SchemaDiffers."""
        self._tracing = start_tracing(os.environ)
        if self.settings.mode == "development" or not self.settings.store.url:
            self.settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            await migrate(self.store.engine)
        else:
            await require_schema(self.store.engine)
        if conflicts := await self.store.link_health.conflicts():
            _log.warning("%d links were set aside by an upgrade: see vaultgraph check --links", len(conflicts))
        for hook in self.after_start:
            await hook(self)
        await self.changes.start()
        await self.documents.start()
        await self.owner.start()
        await self.keys.publish(self.store, self.owner)
        await self.reconciler.start()
        runners: list[Any] = [self.changes, self.webhook_worker, self.endpoint_worker, self.observations, self.sweep]
        runners += [self.feed, self.poller, self.audit, self.documents, self.key_uses, self.status.history]
        runners += [self.agents] if self.agents is not None else []
        runners += [self._shared_metrics] if self._shared_metrics is not None else []
        work = [self.metrics.watch_loop(), *(one.run() for one in runners)]
        self._background.extend(asyncio.create_task(one) for one in work)
        self.store.notifications.start(self._receive)

    async def stop(self) -> None:
        await self.writer.drain()
        await self.reconciler.stop()
        await self.owner.stop()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.default_keeper.stop()
        for vault in self.providers.values():
            await vault.close()
        if self.shared_buckets is not None:
            await self.shared_buckets.close()
        await self.snapshots.close()
        await self.audit.flush()
        await self.key_uses.finish()
        await self.documents.stop()
        await self.store.close()
        if self._shared_metrics is not None:
            self._shared_metrics.copy()
        if self._tracing is not None:
            await self._tracing.stop()

    def replace_vault(self, name: ProviderName, vault: VaultProvider) -> None:
        """Use this adapter for calls that begin from now on; the old one is closed when its last call must be over."""
        section, old = self.settings.provider(name.value), self.providers[name]
        self.providers[name] = vault
        self._watch_vault(name, vault)
        longest_s = self.settings.request_deadline_s + section.deadline_s + section.write_deadline_s
        self._background.append(asyncio.create_task(_close_after(old, longest_s)))

    def _watch_vault(self, name: ProviderName, vault: VaultProvider) -> None:
        self._adapters[name.value] = vault
        if (client := getattr(vault, "http_client", None)) is not None:
            self._http_clients[name.value] = client

    def begin_drain(self) -> None:
        """Begin a graceful shutdown: `/readyz` fails, requests in flight are completed."""
        self.is_draining = True
        self._endpoint.begin_drain()

    @property
    def connection_limits(self) -> ConnectionLimits:
        """Limits for the server. The endpoint's deadline for a request body is a second shorter than the server's: its
        response contains the request id."""
        gate = self.settings.gate
        return ConnectionLimits(
            head_timeout_s=gate.head_timeout_s,
            body_timeout_s=gate.body_timeout_s + 1,
            send_timeout_s=gate.send_timeout_s,
            keep_alive_s=gate.keep_alive_s,
            connections=gate.connections,
            connections_per_address=gate.connections_per_address,
            connections_per_caller=gate.connections_per_caller,
            trusted_proxies=TrustedProxies(gate.trusted_proxies),
        )

    def circuit(self, name: ProviderName) -> CircuitState:
        vault = self.providers.get(name)
        return getattr(vault, "circuit", CircuitState.CLOSED)

    def _services(self) -> Services:
        settings = self.settings
        return Services(
            directory=self.directory,
            reader=self.reader,
            ids=self.ids,
            rules=self.rules,
            deadline_s=settings.request_deadline_s,
            list_limit=settings.list_limit,
            test_mode=settings.mode == "development",
            return_origins=ReturnOrigins.of(settings.return_origins, loopback=settings.mode == "development"),
            writer=self.writer,
            operations=self.store.journal,
            payment=self.store.payments.payment,
            merged_into=self.store.directory.merged_into,
            consents=self.store.consents.of_customer,
            payment_attempts=self.store.payments.attempts,
            exporter=CustomerExporter(self.store, self.reader, self.ids),
            deleted_by_us=self._is_deleted_by_gateway,
            note_choice=self._save_choice_change,
            circuit=self.circuit,
            audit=self.audit,
            events=self.store.events,
            customer_search=self.store.customer_search,
            observed=self.store.observed_methods,
            feed=self.feed,
            revalidate=self.callers.revalidate,
            canonical_ref=canonical_ref,
        )

    def _rates(self) -> RateLimiter:
        return RateLimiter(budgets_of(self.settings.rate), self.shared_buckets, self._buckets)

    async def _is_deleted_by_gateway(self, customer_id: str, address: MethodAddress) -> bool:
        """True if the method was deleted through the gateway: those events have an actor, observed deletions have
        none."""
        found = await self.store.events.of_method(customer_id, address, [EventType.METHOD_DELETED])
        return any(event.actor is not None for event in found)

    def _on_method_added(self, customer_id: str, methods: Collection[MethodAddress], origin: EventOrigin) -> None:
        self.default_keeper.added(customer_id, methods, origin)

    async def _save_choice_change(self, default: DefaultInfo) -> bool:
        """Store the change of a stored default. A failure does not fail the read: the next read finds the change
        again."""
        choice, asked_at = default.choice, default.choice_read_at
        if choice is None or asked_at is None:
            return False
        with logged(_log, "the change of a stored default could not be saved"):
            is_listed = default.choice_change is ChoiceChange.BACK
            return await self.choices.saw(choice, is_listed=is_listed, asked_at=asked_at)
        return False

    def _poller(self) -> Poller:
        """Polls the vaults that send no webhooks."""
        polled = [name for name in ProviderName if name.value not in self.webhooks.senders]
        pace = PollerPace(every_s=self.settings.watch.every_s, calls_per_s=self.settings.watch.calls_per_s)
        return Poller(self.store, self.feed, self.reader, self.change_detector, self.choices, polled, pace, utc_now)

    def _write_deps(self) -> Deps:
        settings = self.settings
        return Deps(
            store=self.store,
            reader=self.reader,
            ids=self.ids,
            rules=self.rules,
            owner=self.owner,
            digest_keys=self.keys.digest,
            deadlines_s={name: settings.provider(name.value).write_deadline_s for name in ProviderName},
            utc_now=utc_now,
        )

    def _build_app(self) -> GatewayApp:
        is_development = self.settings.mode == "development"
        limiter = Limiter(schema._schema, limits_of(self.settings))
        documents = DocumentCache(
            schema._schema,
            max_bytes=64_000_000,
            max_tokens=self.settings.gate.tokens,
            suggest=is_development,
            screen=limiter.screen,
            rules=[SecretsInVariablesOnly, OneOfInputValidationRule],
            plans=Plans(schema, observer=self.metrics) if self.settings.execution.plans else None,
        )
        self.documents = DocumentServices(
            self.settings, self.store.documents, documents, limiter, print_sdl, JSON_SCHEMAS
        )
        policy = DefaultRequestPolicy(
            self.documents.resolver, self.callers, limiter, self._rates(), self.audit, self._context
        )
        page = None
        if is_development:
            bundled = self.has_bundled_graphiql
            page = graphiql.response(self._page_token, self.settings.data_dir, bundled=bundled)
        origins = origin_policy(self.settings)
        self._endpoint = GraphQLEndpoint(
            schema,
            policy,
            endpoint_limits(self.settings),
            page,
            origins=origins,
            sockets=socket_limits(self.settings),
            on_request=RequestObserver(self.metrics),
        )
        self._endpoint.doors |= self.documents.doors(policy)
        self.agents = agent_endpoint(self.settings, self._endpoint, policy, self.documents.descriptions, origins)
        if self.agents is not None:
            self._endpoint.doors |= self.agents.doors
        routes: list[BaseRoute] = [
            Route("/healthz", healthz),
            Route("/readyz", self._readyz),
            self.webhooks.route(),
        ]
        self.metrics.in_flight = lambda: self._endpoint.in_flight
        self.metrics_page = self._metrics_page()
        if is_development or self.settings.metrics_token:
            routes.append(Route("/metrics", self.metrics_page))
        if (folder := graphiql.assets_folder()) is not None and is_development:
            routes.append(Mount(graphiql.ASSETS_PATH, HostChecked(StaticFiles(directory=folder), origins)))
        self.status = StatusPages(
            self._shared_metrics or self.metrics,
            self.metrics_page.refresh,
            {name.value: specs()[name].display_name for name in self.providers},
            token=self._page_token,
            is_development=is_development,
        )
        routes += self.status.routes(origins)
        self._endpoint.doors |= self.status.doors(policy)
        return GatewayApp(Cors(self._endpoint, origins), routes, self._lifespan, self._endpoint.doors)

    def _metrics_page(self) -> MetricsPage:
        redis, backlog = self.shared_buckets, BacklogGauges(self.store.backlog)
        states: dict[str, Callable[[], float]] = {
            "vaultgraph_websockets": lambda: self._endpoint.sockets,
            "vaultgraph_subscriptions": lambda: len(self.feed),
            "vaultgraph_store_up": lambda: self.store.is_up,
        }
        if not self.store.engine.is_sqlite:
            states["vaultgraph_store_notifications_connected"] = lambda: self.store.notifications.is_connected
        if redis is not None:
            states["vaultgraph_redis_up"] = lambda: redis.is_up
        for collector in (backlog, StateGauges(states), StoreGauges(lambda: self.store.connections)):
            self.metrics.registry.register(collector)
        token = self.settings.metrics_token.reveal()
        return MetricsPage(self.metrics, token, refresh=backlog.refresh, shared=self._shared_metrics)

    @asynccontextmanager
    async def _lifespan(self, _: GatewayApp) -> AsyncIterator[None]:
        await self.start()
        yield
        await self.stop()

    def _context(
        self, caller: Caller, request_id: str, trace: TraceContext | None, asked_s: float | None = None
    ) -> Context:
        deadline_at = None
        if asked_s is not None:
            deadline_at = asyncio.get_running_loop().time() + min(asked_s, self.services.deadline_s)
        return Context.create(self.services, caller, request_id, deadline_at, trace)

    async def _store_delivery(self, receipt: NewDelivery) -> None:
        await self.store.deliveries.add(receipt)
        self.webhook_worker.wake()

    def _on_old_secret(self, provider: str, number: int) -> None:
        setting = f"{provider}.webhook_secret"
        names = self.keys.webhooks.get(setting, [])
        if number < len(names):  # false for a delivery that was verified just before a reload
            self.key_uses.old_key_used(setting, names[number])

    async def _readyz(self, _: Request | None = None) -> HttpResponse:
        return await readyz(self._probes())

    def _probes(self) -> Mapping[str, Probe]:
        async def not_draining() -> bool:
            return not self.is_draining

        return {
            "store": self.store.changes.version,
            "migrations": lambda: require_schema(self.store.engine),
            "draining": not_draining,
        }

    def _receive(self, signal: Signal) -> None:
        self.endpoint_worker.wake()
        if signal is Signal.CHANGES:
            self.changes.wake()
            self.feed.wake()
        else:
            self.reconciler.wake()
            self.webhook_worker.wake()

    def _invalidate_all(self) -> None:
        self.directory.clear()
        self.snapshots.clear()
        self.callers.partners.forget()
        self.documents.on_change(None)

    def _invalidate(self, changes: Sequence[ChangeNotice]) -> None:
        for change in changes:
            self.documents.on_change(change)
            if change.topic is Topic.CUSTOMER:
                for provider, ref in self.directory.refs_of(change.key):
                    self.snapshots.drop(provider, ref)
                self.directory.drop(change.key)
            elif change.topic is Topic.CLIENT:
                self.callers.partners.forget(change.key)


async def _close_after(vault: VaultProvider, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        await vault.close()


def _rules(settings: Settings, providers: Mapping[ProviderName, VaultProvider]) -> WalletRules:
    return WalletRules(
        operations={name: vault.capabilities.operations for name, vault in providers.items()},
        precedence=tuple(ProviderName(name) for name in settings.provider_precedence),
        group_secret=derive_key(settings.id_key.first.reveal(), "wallet/groups"),
        expiring_soon_days=settings.expiring_soon_days,
        clear_default_after=timedelta(seconds=settings.default.clear_after_s),
    )


def _shared_buckets(settings: Settings, local: LocalBuckets) -> RedisBuckets | None:
    url = settings.store.redis_url.reveal()
    return RedisBuckets(url, local=local) if url else None


def _snapshots(settings: Settings, keys: GatewayKeys) -> SnapshotCache:
    if not settings.store.shared_snapshots:
        return SnapshotCache(settings.snapshot_bytes)
    redis = SharedRedis(settings.store.redis_url.reveal(), without="each process reads the vaults for itself for now")
    lasts_s = {name: policy.deadline_s + policy.fresh_for_s for name, policy in read_policies(settings).items()}
    prepare = partial(to_cached_wallet, keys.ids)
    return SharedSnapshotCache(settings.snapshot_bytes, redis, keys.snapshots, prepare, lasts_s)


def store_url(settings: Settings) -> str:
    """The store's URL; raises SettingsError for an unsupported database."""
    url = settings.store.url.reveal() or f"sqlite:///{settings.data_dir / 'vaultgraph.db'}"
    try:
        make_engine(url)
    except ValueError as error:
        raise SettingsError(f"store.url: {error}") from None
    return url
