"""Reads and writes on all replicas of a cluster, from threads, that check every answer."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, Final
from uuid import uuid4

from tests.support.adding import adding, caselle_card, new_key
from tests.support.replicas import Answer, Cluster, Gone, Replica, until

WALLET: Final = "query ($id: ID!) { customer(id: $id) { paymentMethods { id nickname } sources { state } } }"
FIND: Final = "query ($id: ID!) { findCustomer(by: {externalId: $id}) { externalId name } }"
CREATE: Final = """mutation ($input: CreateCustomerInput!) { createCustomer(input: $input) {
  customer { id externalId } operation { state } userErrors { code retryable } } }"""
ADD: Final = """mutation ($input: AddPaymentMethodInput!) { addPaymentMethod(input: $input) {
  paymentMethod { id } operation { replayed state } userErrors { code retryable } } }"""
KNOWN: Final = "user-88420"  # a demo customer


class Load:
    """Reads and writes on all replicas, until stopped. `wrong` stays empty; `made` has the ids of each new customer."""

    def __init__(self, cluster: Cluster, *, goes_on_elsewhere: bool = False) -> None:
        """`goes_on_elsewhere`: like a balancer, sends a request to the next replica if one is gone."""
        self.cluster = cluster
        self.wrong: list[Any] = []
        self.codes: Counter[str] = Counter()
        self.made: dict[str, set[str]] = {}
        self.cards: set[str] = set()
        self._held = 0
        self.answers = 0
        self._goes_on = goes_on_elsewhere
        self._is_over = Event()
        self._pool = ThreadPoolExecutor(6)
        self._tasks: list[Any] = []

    def __enter__(self) -> "Load":
        self._held = self._cards_at_the_vault()
        jobs: list[Callable[[int], None]] = [self._read, self._create, self._read, self._create, self._read, self._add]
        self._tasks = [self._pool.submit(self._repeat, job, place) for place, job in enumerate(jobs)]
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
        assert self._cards_at_the_vault() == self._held + len(self.cards)

    def _cards_at_the_vault(self) -> int:
        return len(self.cluster.sandbox.held("caselle", "cus_88420"))

    def until_more(self, count: int = 30) -> None:
        """Until this many more requests were answered without an error."""
        goal = self.answers + count
        until(lambda: self.answers >= goal or bool(self.wrong))

    @staticmethod
    def create_once(replica: Replica) -> Answer:
        """A write of the store alone."""
        return replica.query(CREATE, input=_person())

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
        for payload in self._repeated(place, CREATE, value):
            self.made.setdefault(value["externalId"], set()).add(payload["customer"]["id"])

    def _add(self, place: int) -> None:
        """The same for a write at a vault."""
        value = adding(caselle_card(self.cluster.sandbox))
        for payload in self._repeated(place, ADD, value):
            self.cards.add(payload["paymentMethod"]["id"])

    def _repeated(self, place: int, text: str, value: dict[str, Any]) -> Iterator[Any]:
        """The payloads of two replicas."""
        for where in (place, place + 1):
            while not self.wrong:
                answer = self._ask(where, text, input=value)
                if answer is not None and not answer.errors:
                    (payload,) = answer.data.values()
                    yield payload
                    break


def _person() -> dict[str, Any]:
    unique = f"load-{uuid4()}"
    given = {"externalId": unique, "name": {"first": "Ada", "last": "Example"}, "email": f"{unique}@example.com"}
    return {**given, "idempotencyKey": new_key()}
