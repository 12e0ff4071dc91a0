"""Reads and writes on all replicas of a cluster, from threads, that check every answer."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, Final
from uuid import uuid4

from tests.support.adding import new_key
from tests.support.replicas import Answer, Cluster, Gone, until

WALLET: Final = "query ($id: ID!) { customer(id: $id) { paymentMethods { id nickname } sources { state } } }"
FIND: Final = "query ($id: ID!) { findCustomer(by: {externalId: $id}) { externalId name } }"
CREATE: Final = """mutation ($input: CreateCustomerInput!) { createCustomer(input: $input) {
  customer { id externalId } operation { state } userErrors { code retryable } } }"""
KNOWN: Final = "user-88420"  # a demo customer


class Load:
    """Reads and writes on all replicas, until stopped. `wrong` stays empty; `made` has the ids of each new customer."""

    def __init__(self, cluster: Cluster, *, goes_on_elsewhere: bool = False) -> None:
        """`goes_on_elsewhere`: like a balancer, sends a request to the next replica if one is gone."""
        self.cluster = cluster
        self.wrong: list[Any] = []
        self.codes: Counter[str] = Counter()
        self.made: dict[str, set[str]] = {}
        self.answers = 0
        self._goes_on = goes_on_elsewhere
        self._is_over = Event()
        self._pool = ThreadPoolExecutor(6)
        self._tasks: list[Any] = []

    def __enter__(self) -> "Load":
        jobs: list[Callable[[int], None]] = [self._read, self._create]
        self._tasks = [self._pool.submit(self._repeat, job, place) for job in jobs for place in range(3)]
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        for task in self._tasks:
            task.result(60)
        self._pool.shutdown()
        assert self.wrong == []
        rows = self.cluster.sql("SELECT external_id, count(*) FROM customers GROUP BY 1 HAVING count(*) > 1")
        assert rows == []
        assert all(len(ids) == 1 for ids in self.made.values())

    def until_more(self, count: int = 30) -> None:
        """Until this many more requests were answered without an error."""
        goal = self.answers + count
        until(lambda: self.answers >= goal or bool(self.wrong))

    def _repeat(self, job: Callable[[int], None], place: int) -> None:
        while not self._is_over.is_set():
            job(place)

    def _ask(self, place: int, text: str, **variables: Any) -> Answer | None:
        replicas = list(self.cluster)
        for turn in range(len(replicas) if self._goes_on else 1):
            try:
                answer = replicas[(place + turn) % len(replicas)].query(text, **variables)
            except Gone:
                continue
            for error in answer.errors:
                self.codes[error["code"]] += 1
                if error["retryable"] is not True:
                    self.wrong.append(error)
            if not answer.errors:
                self.answers += 1
            return answer
        if self._goes_on:
            self.wrong.append("no replica answered")
        return None

    def _read(self, place: int) -> None:
        answer = self._ask(place, FIND, id=KNOWN)
        if answer is not None and not answer.errors and answer.data["findCustomer"]["externalId"] != KNOWN:
            self.wrong.append(answer)
        answer = self._ask(place, WALLET, id="cus_sam")
        if answer is not None and not answer.errors and not answer.data["customer"]["paymentMethods"]:
            self.wrong.append(answer)

    def _create(self, place: int) -> None:
        """With one key, until it succeeds, and once more at another replica."""
        value = _person()
        for where in (place, place + 1):
            while True:
                answer = self._ask(where % 3, CREATE, input=value)
                if answer is not None and not answer.errors:
                    customer = answer.data["createCustomer"]["customer"]
                    self.made.setdefault(value["externalId"], set()).add(customer["id"])
                    break
                if self.wrong:
                    return


def _person() -> dict[str, Any]:
    unique = f"load-{uuid4()}"
    given = {"externalId": unique, "name": {"first": "Ada", "last": "Example"}, "email": f"{unique}@example.com"}
    return {**given, "idempotencyKey": new_key()}
