"""Several `vaultgraph serve` processes over one PostgreSQL, one Redis and the sandbox's vaults.

They poll the store once a minute: what one of them learns from another earlier came by notification.
"""

import asyncio
import http.client
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg

from app.cli.demo_data import link_demo_customers
from app.store import Store, migrate
from app.wallet.caller import ALL_SCOPES
from tests.e2e.test_cli_check import settings_of, written
from tests.support import leaks
from tests.support.command import Running
from tests.support.issuer import AUDIENCE, ISSUER, claims, ec_key, key_set, listed, token
from tests.support.postgres import Postgres, running_postgres
from tests.support.redis_server import RedisServer
from tests.support.sandbox import RunningSandbox

VAULTS: Final = ("loanpro", "aloha", "jpmorgan", "caselle")
FAR_S: Final = 60.0
"""Between polls, and how long a cached reply stays fresh."""
METRICS_TOKEN: Final = "metrics-of-the-cluster-" + "m" * 32


class Gone(Exception):
    """The connection was refused or ended without a response."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any

    @property
    def data(self) -> Any:
        assert self.status == 200, self
        assert "errors" not in self.body, self.body["errors"]
        return self.body["data"]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The errors of the request, or else of its mutation."""
        found: list[dict[str, Any]] = [
            {"code": error["extensions"]["code"], "retryable": error["extensions"].get("retryable")}
            for error in self.body.get("errors", [])
        ]
        for payload in (self.body.get("data") or {}).values():
            if isinstance(payload, dict):
                found += payload.get("userErrors", [])
        return found


class Replica:
    """One process."""

    def __init__(self, name: str, config: Path, data: Path) -> None:
        self.name = name
        self.running = Running("serve", "--config", config, "--data-dir", data)
        self.url = ""

    def wait(self) -> None:
        """Until it serves and is notified of the others' commits."""
        self.url = self.running.until(r"^Gateway +(http://\S+)/graphql")[1]
        until(self.is_notified)

    def is_notified(self) -> bool:
        headers = {"authorization": f"Bearer {METRICS_TOKEN}"}
        return b"vaultgraph_store_notifications_connected 1.0" in self._exchange("GET", "/metrics", None, headers)[1]

    def token(self) -> str:
        return token(ec_key("cluster"), "ES256", claims(scope=" ".join(ALL_SCOPES)), kid="k")

    def is_ready(self) -> bool:
        try:
            return self._exchange("GET", "/readyz", None, {})[0] == 200
        except Gone:
            return False

    def query(self, text: str | None = None, **variables: Any) -> Answer:
        """Raises Gone."""
        leaks.note_variables(variables)
        return self.send({"query": text, "variables": variables})

    def send(self, body: Mapping[str, Any]) -> Answer:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token()}"}
        status, raw = self._exchange("POST", "/graphql", json.dumps(body).encode(), headers)
        return Answer(status, json.loads(raw))

    def kill(self) -> None:
        """As if the machine had lost its power."""
        self.running.process.kill()
        self.running.process.wait(20)

    def stop(self) -> int:
        """Graceful; returns the exit status."""
        return self.running.stop(signal.SIGTERM)

    def close(self) -> None:
        self.running.__exit__(None, None, None)
        assert not leaks.found_in(self.running.text.encode())
        assert "Traceback" not in self.running.text, self.running.text

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=40)
        try:
            connection.request(method, path, body, dict(headers))
            reply = connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise Gone from error
        finally:
            connection.close()


@dataclass
class Cluster:
    """`replicas` by name; the demo customers are linked."""

    postgres: Postgres
    redis: RedisServer
    sandbox: RunningSandbox
    folder: Path
    settings: dict[str, Any]
    replicas: dict[str, Replica] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        """Start these replicas, replacing those of the same name."""
        config = written(self.folder, self.settings)
        for name in names:
            if (old := self.replicas.pop(name, None)) is not None:
                old.close()
            self.replicas[name] = Replica(name, config, self.folder / name)
        for name in names:
            self.replicas[name].wait()

    def __getitem__(self, name: str) -> Replica:
        return self.replicas[name]

    def __iter__(self) -> Iterator[Replica]:
        return iter(self.replicas.values())

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.postgres.url(), autocommit=True) as raw:
            cursor = raw.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def expire_leases(self) -> None:
        """As if 15 seconds without a heartbeat had passed for the processes that have ended."""
        self.sql("UPDATE owners SET beat_at = beat_at - interval '1 minute' WHERE stopped_at IS NULL")


@contextmanager
def running_cluster(
    sandbox: RunningSandbox, folder: Path, names: str = "ABC", *, poll_s: float = FAR_S
) -> Iterator[Cluster]:
    keys = folder / "issuer.json"
    keys.write_bytes(key_set(listed(ec_key("cluster"), "k")))
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        redis = stack.enter_context(RedisServer())
        asyncio.run(_prepared(postgres.url()))
        values: dict[str, Any] = {
            **settings_of(sandbox),
            "port": 0,
            "request_deadline_s": 20,
            "metrics_token": METRICS_TOKEN,
            "auth": {"issuer": ISSUER, "audience": [AUDIENCE], "jwks_path": str(keys)},
            "gate": {"cors_origins": ["none"]},
            "store": {"url": postgres.url(), "redis_url": redis.url, "poll_s": poll_s, "shared_snapshots": True},
        }
        for vault in VAULTS:
            values[vault] = {"deadline_s": 15, "write_deadline_s": 15, "fresh_for_s": FAR_S, **values[vault]}
        cluster = Cluster(postgres, redis, sandbox, folder, values)
        stack.callback(lambda: [replica.close() for replica in cluster])
        cluster.start(*names)
        yield cluster


def until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    """Poll until it holds."""
    give_up_at = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up_at, "it never became true"


async def _prepared(url: str) -> None:
    store = Store.open(url)
    await migrate(store.engine)
    await link_demo_customers(store)
    await store.close()
