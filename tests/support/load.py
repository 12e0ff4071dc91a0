"""Several clients that repeat one GraphQL request over kept connections until they are stopped."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit


class Load:
    """`replies` counts bodies without extensions; `failures` counts exceptions by their class."""

    def __init__(self, url: str, request: Mapping[str, Any], headers: Mapping[str, str], *, clients: int = 6) -> None:
        self._address = urlsplit(url)
        self._body = json.dumps(request)
        self._headers = {"content-type": "application/json", **headers}
        self._is_over = threading.Event()
        self._some = threading.Semaphore(0)
        self._lock = threading.Lock()
        self.replies: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)

    def more(self, replies: int) -> None:
        """Wait for this many further replies."""
        while self._some.acquire(blocking=False):
            pass
        for _ in range(replies):
            assert self._some.acquire(timeout=30), (self.replies, self.failures)

    def _run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._is_over.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(
                        self._address.hostname or "", self._address.port, timeout=30
                    )
                connection.request("POST", "/graphql", self._body, self._headers)
                reply = connection.getresponse()
                body = json.loads(reply.read())
                if reply.will_close:
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.failures[type(error).__name__] += 1
                connection = None
                continue
            body.pop("extensions", None)
            with self._lock:
                self.replies[json.dumps(body)] += 1
            self._some.release()
