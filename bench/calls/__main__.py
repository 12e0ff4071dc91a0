"""Python calls per request, by room.

    python -m bench.calls [--transport lean|aiohttp] [--json] [--functions CASE] [--save]

The whole gateway in production settings runs on a real socket; vaults are a stub that answers at once, for mutations
the sandbox. A figure is the least of some requests after a warm-up, because other work of the process only adds; a
request lasts from its first byte until the gateway is idle again, so that work after the reply counts. `counting.py`
defines what is a call. `--functions` lists the functions of one case; `--save` writes `table.json`, with which
`tests/e2e/test_calls.py` compares.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from app.api.auth.development import DevTokens
from app.cli.development import dev_settings
from app.http.settings import ProviderSettings
from app.settings.model import load_settings
from app.testing.sandbox import RunningSandbox
from bench.calls.counting import Count, Counter
from bench.calls.gateway import Client, CountedGateway
from bench.calls.stub import Stub, running_stub
from bench.compare.ground import Ground
from bench.compare.ours import settings_of
from bench.compare.questions import WALLET, wallets
from tests.support.adding import caselle_card

TABLE: Final = Path(__file__).with_name("table.json")
TRANSPORTS: Final = ("aiohttp", "lean")
_WARM: Final = 20
_ROUNDS: Final = 12
_MUTATIONS_WARM: Final = 4
_MUTATIONS: Final = 10
_KEYS: Final = {"id_key": "bench-id-key-" + "k" * 32, "digest_key": "bench-digest-key-" + "d" * 32}
_ERRORS: Final = "userErrors { code } operation { id state replayed }"
_SET_DEFAULT: Final = f"""mutation ($input: SetDefaultPaymentMethodInput!) {{
  setDefaultPaymentMethod(input: $input) {{ {_ERRORS} customer {{ id }} }} }}"""
_ADD: Final = f"""mutation ($input: AddPaymentMethodInput!) {{
  addPaymentMethod(input: $input) {{ {_ERRORS} paymentMethod {{ id }} }} }}"""
_UPDATE: Final = f"""mutation ($input: UpdatePaymentMethodInput!) {{
  updatePaymentMethod(input: $input) {{ {_ERRORS} paymentMethod {{ id }} }} }}"""
_DELETE: Final = f"""mutation ($input: DeletePaymentMethodInput!) {{
  deletePaymentMethod(input: $input) {{ {_ERRORS} deletedId }} }}"""
_QUOTE: Final = f"""mutation ($input: QuotePaymentInput!) {{
  quotePayment(input: $input) {{ {_ERRORS} payment {{ id }} }} }}"""
_CAPTURE: Final = f"""mutation ($input: CapturePaymentInput!) {{
  capturePayment(input: $input) {{ {_ERRORS} payment {{ id state }} }} }}"""
_METHODS: Final = """query ($id: ID!, $p: [Provider!]) {
  customer(id: $id) { paymentMethods(filter: {providers: $p}) { id kind isProviderDefault } } }"""
_CUSTOMER: Final = "cus_load-0007"

Figures = dict[str, Any]


@contextmanager
def reading(counter: Counter, stub: Stub, transport: str, *, is_kept: bool) -> Iterator[Client]:
    """A gateway in front of the stub, with the production settings of `bench.compare`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens = DevTokens.open(folder)
        text = settings_of(Ground(stub.url, 0, folder, is_kept), folder, tokens.jwks_path, 0, transport)
        (folder / "vaultgraph.toml").write_text(text)
        settings = load_settings(folder / "vaultgraph.toml", {})
        with CountedGateway(settings, counter) as gateway:
            yield gateway.client(tokens.mint(valid_for_s=3600))


@contextmanager
def writing(counter: Counter, sandbox: RunningSandbox, transport: str) -> Iterator[Client]:
    """A gateway in front of the sandbox, which stores what is written to it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        every = {"transport": transport, "fresh_for_s": 0.0, "deadline_s": 20.0}
        vaults: dict[str, Any] = dict.fromkeys(("loanpro", "aloha", "jpmorgan", "caselle"), every)
        settings = dev_settings(sandbox.credentials(), _KEYS, folder, None, environ={}, **vaults)
        with CountedGateway(settings, counter) as gateway:
            yield gateway.client(DevTokens.open(folder).mint(valid_for_s=3600))


def reads(counter: Counter, transport: str) -> Iterator[tuple[str, list[Count]]]:
    with running_stub() as stub:
        counter.install()
        with reading(counter, stub, transport, is_kept=False) as client:
            ids = [f"cus_load-{number:04d}" for number in range(1, 11)]
            # First, so that the pools of connections are filled for the others.
            yield "nodes_10", _asked(client, lambda: (wallets(10).query, {"ids": ids}), stub, 41)
            yield "uncached", _asked(client, lambda: (WALLET.query, {"id": _CUSTOMER}), stub, 5)
            stub.is_changing = True
            yield "changing", _asked(client, lambda: (WALLET.query, {"id": _CUSTOMER}), stub, 5)
        with reading(counter, stub, transport, is_kept=True) as client:
            yield "hit", _asked(client, lambda: (WALLET.query, {"id": _CUSTOMER}), stub, 0)


def _asked(
    client: Client, question: Callable[[], tuple[str, Mapping[str, Any]]], stub: Stub, vault_calls: int
) -> list[Count]:
    found = []
    for _ in range(_WARM):
        client.send(*question())
    for _ in range(_ROUNDS):
        before = stub.calls
        found.append(client.send(*question())[1])
        assert stub.calls - before == vault_calls, (stub.calls - before, vault_calls)
    return found


def writes(counter: Counter, transport: str) -> Iterator[tuple[str, list[Count]]]:
    found: dict[str, list[Count]] = {}
    with RunningSandbox() as sandbox:
        counter.install()
        with writing(counter, sandbox, transport) as client:
            mutations = Mutations(client, sandbox)
            for number in range(_MUTATIONS_WARM + _MUTATIONS):
                for name, count in mutations.each():
                    if number >= _MUTATIONS_WARM:
                        found.setdefault(name, []).append(count)
    yield from found.items()


class Mutations:
    def __init__(self, client: Client, sandbox: RunningSandbox) -> None:
        self._client = client
        self._sandbox = sandbox

    def each(self) -> Iterator[tuple[str, Count]]:
        """Every mutation, then the same with its idempotency key again. The customer's methods are as before."""
        card = next(one for one in self._methods("CASELLE") if not one["isProviderDefault"] and one["kind"] == "CARD")
        other = next(one for one in self._methods("LOANPRO") if one["kind"] == "CARD")
        _, *counts = self._twice(_SET_DEFAULT, customerId=_CUSTOMER, paymentMethodId=card["id"])
        yield from zip(("mutation", "mutation_replayed"), counts, strict=True)
        _, *counts = self._twice(_UPDATE, id=other["id"], nickname=f"Card {uuid4()}")
        yield from zip(("mutation_update", "mutation_update_replayed"), counts, strict=True)
        added, *counts = self._twice(_ADD, customerId=_CUSTOMER, method=caselle_card(self._sandbox))
        yield from zip(("mutation_add", "mutation_add_replayed"), counts, strict=True)
        _, *counts = self._twice(_DELETE, id=added["paymentMethod"]["id"])
        yield from zip(("mutation_delete", "mutation_delete_replayed"), counts, strict=True)
        _, *counts = self._twice(_CAPTURE, paymentId=self._quoted(card["id"]))
        yield from zip(("mutation_capture", "mutation_capture_replayed"), counts, strict=True)

    def _quoted(self, method: str) -> str:
        given = {
            "customerId": _CUSTOMER,
            "amount": {"amount": "123.45", "currency": "USD"},
            "reference": f"inv-{uuid4()}",
            "using": {"paymentMethodId": method},
            "idempotencyKey": str(uuid4()),
        }
        payment: str = self._send(_QUOTE, given)[0]["payment"]["id"]
        return payment

    def _methods(self, provider: str) -> Any:
        data, _ = self._client.send(_METHODS, {"id": _CUSTOMER, "p": [provider]})
        return data["customer"]["paymentMethods"]

    def _twice(self, document: str, **given: Any) -> tuple[Any, Count, Count]:
        given["idempotencyKey"] = str(uuid4())
        data, first = self._send(document, given)
        again, second = self._send(document, given)
        assert not data["operation"]["replayed"]
        assert again["operation"]["replayed"]
        return data, first, second

    def _send(self, document: str, given: Mapping[str, Any]) -> tuple[Any, Count]:
        data, count = self._client.send(document, {"input": given})
        (payload,) = data.values()
        assert not payload["userErrors"], payload
        assert payload["operation"]["state"] == "SUCCEEDED", payload
        return payload, count


def figures(counter: Counter, counts: list[Count], *, is_mutation: bool) -> Figures:
    least = min(counts, key=lambda count: count.calls)
    found: Figures = {"calls": least.calls}
    if is_mutation:
        found["statements"] = min(count.statements for count in counts)
        found["transactions"] = min(count.transactions for count in counts)
        found["thread_hops"] = min(count.hops for count in counts)
    return {
        **found,
        "python": least.python.total(),
        "builtin": least.builtin.total(),
        "median": int(statistics.median(count.calls for count in counts)),
        "rooms": counter.rooms(least),
    }


def measure(transport: str, functions: str | None = None) -> dict[str, Figures]:
    """`functions` is a case whose functions are printed."""
    found: dict[str, Figures] = {}
    counter = Counter()
    for part in (reads, writes):
        if functions is None or functions.startswith("mutation") == (part is writes):
            for name, counts in part(counter, transport):
                found[name] = figures(counter, counts, is_mutation=part is writes)
                if name == functions:
                    _print_functions(counter, min(counts, key=lambda count: count.calls))
            counter.uninstall()  # the vaults of the next part are not counted
    return found


def _print_functions(counter: Counter, count: Count) -> None:
    print("python builtin")
    for python, builtin, room, function in counter.functions(count):
        print(f"{python:6} {builtin:7}  {room:24} {function}")


def shown(found: Mapping[str, Figures]) -> Iterator[str]:
    """A Markdown table: a row for each case."""
    names = ("calls", "python", "builtin", "statements", "transactions", "thread_hops")
    rooms = list(next(iter(found.values()))["rooms"])
    yield "Calls of Python functions (`python`) and of built-in functions by them (`builtin`), in all threads."
    yield ""
    yield f"| | {' | '.join([*names, *rooms])} |"
    yield f"|---|{'---|' * len([*names, *rooms])}"
    for name, one in found.items():
        cells = [one.get(figure, "-") for figure in names] + [one["rooms"][room] for room in rooms]
        yield f"| {name} | {' | '.join(map(str, cells))} |"


def saved() -> dict[str, Any]:
    """The committed table: a transport's name to its cases."""
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return table


def save(transport: str, found: Mapping[str, Figures]) -> None:
    table = saved() if TABLE.exists() else {}
    kept = ("calls", "statements", "transactions", "thread_hops")
    table["python"] = "{}.{}".format(*sys.version_info)
    table[transport] = {case: {key: one[key] for key in kept if key in one} for case, one in found.items()}
    TABLE.write_text(json.dumps(table, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=TRANSPORTS, default=ProviderSettings().transport)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--functions", metavar="CASE")
    parser.add_argument("--save", action="store_true")
    chosen = parser.parse_args()
    found = measure(chosen.transport, chosen.functions)
    if chosen.save:
        save(chosen.transport, found)
    if not chosen.functions:
        print(json.dumps(found) if chosen.json else "\n".join(shown(found)))


if __name__ == "__main__":
    main()
