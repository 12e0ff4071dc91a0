"""Keys are rotated across two replicas: what was made before the rotation works after it, at both."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from app.api.auth.api_keys import KeyHasher
from app.api.auth.api_keys import new_key as new_api_key
from app.store.records import ClientKey
from app.wallet.keys import key_name
from tests.support.adding import adding, loanpro_card, new_key
from tests.support.gateway import KEYS, RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.mutating import ADD, DELETE, ONE, SET_DEFAULT, UPDATE, codes, methods, run
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

OLD: Final = dict(KEYS)
FRESH: Final = {name: f"a fresh {name} 0123456789 abcdefghijk" for name in KEYS}
KNOWN: Final = {name: [OLD[name], FRESH[name]] for name in KEYS}  # the first step: every process learns the fresh key
ROTATED: Final = {name: [FRESH[name], OLD[name]] for name in KEYS}
ALONE: Final = dict(FRESH)
FRESH_NAME: Final = key_name(FRESH["digest_key"])

Start = Callable[..., RunningGateway]


@pytest.fixture
def start(postgres_url: str, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch) -> Start:
    """A replica with these keys; all of them share one store."""

    def started(keys: dict[str, Any], **more: Any) -> RunningGateway:
        return start_gateway(**{**patient(), "store": {"url": postgres_url}, **keys, **more})

    return started


def api_key(gateway: RunningGateway) -> str:
    """The API key of a new partner, stored as `vaultgraph partner add` does."""
    key, hasher = new_api_key(), KeyHasher(*gateway.settings.digest_key.reveal())
    add = gateway.gateway.store.clients.add
    gateway.on_loop(
        add(
            "acme",
            key_hash=hasher.hash(key),
            digest_key=hasher.keys.first_name,
            scopes=["customers:read", "payment_methods:read", "explore"],
            sees_all_customers=True,
        )
    )
    return key


def is_accepted(gateway: RunningGateway, key: str) -> bool:
    text = '{ customer(id: "cus_alex") { id } }'
    return gateway.query(text, headers={"authorization": f"Bearer {key}"}).status != 401


def stored(gateway: RunningGateway) -> ClientKey:
    found: ClientKey = gateway.on_loop(gateway.gateway.store.clients.client("acme")).keys[0]
    return found


def digest_keys(gateway: RunningGateway) -> set[str | None]:
    """The names of the keys behind the digests in the store."""
    uses = gateway.gateway.store.key_uses
    return {*gateway.on_loop(uses.operations_by_key()), *gateway.on_loop(uses.api_keys_by_key())}


def test_ids_writes_and_api_keys_outlive_a_rotation(start: Start, sandbox: RunningSandbox) -> None:
    one = start(OLD)
    partner, value = api_key(one), adding(loanpro_card(sandbox), idempotencyKey=new_key())
    added = run(one, ADD, value)
    assert codes(added) == []
    method = added["paymentMethod"]["id"]
    one.stop()

    one, two = start(KNOWN), start(ROTATED)
    for replica in (two, one):
        found = replica.data(ONE, id=method)["paymentMethod"]
        assert found["last4"] == added["paymentMethod"]["last4"]
        again = run(replica, ADD, value)
        assert (codes(again), again["operation"]["replayed"]) == ([], True)
        assert is_accepted(replica, partner)
    fresh = two.data(ONE, id=method)["paymentMethod"]["id"]
    assert fresh != method, "issued anew with the first key"
    assert one.data(ONE, id=fresh)["paymentMethod"]["id"] == method

    assert digest_keys(two) == {key_name(OLD["digest_key"])}, "not yet, while a replica uses the old key"
    one.stop()
    one = start(ROTATED)
    for _ in range(2):
        assert run(one, ADD, value)["operation"]["replayed"] is True
        eventually(lambda: is_accepted(one, partner) and stored(one).digest_key == FRESH_NAME, "stored anew")
    assert digest_keys(one) == {FRESH_NAME}
    one.stop()
    two.stop()

    last = start(ALONE)
    assert run(last, ADD, value)["operation"]["replayed"] is True
    assert is_accepted(last, partner)
    assert last.data(ONE, id=fresh)["paymentMethod"]["id"] == fresh
    assert last.query(ONE, {"id": method}).data == {"paymentMethod": None}


def test_old_ids_work_in_every_entry_point(start: Start, sandbox: RunningSandbox) -> None:
    old = start(OLD)
    loanpro = [method["id"] for method in methods(old, "LOANPRO")]
    cards = methods(old, "CASELLE")
    old.stop()
    gateway = start(ROTATED)
    known = {method["id"] for method in methods(gateway)}
    assert not known & {*loanpro, *(card["id"] for card in cards)}
    nodes = gateway.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=loanpro)["nodes"]
    assert {one["id"] for one in nodes} <= known
    chosen = run(
        gateway, SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": loanpro[0], "idempotencyKey": new_key()}
    )
    assert codes(chosen) == []
    named = run(gateway, UPDATE, {"id": loanpro[0], "nickname": "rotated", "idempotencyKey": new_key()})
    assert codes(named) == []
    assert named["paymentMethod"]["nickname"] == "rotated"
    gone = {"id": loanpro[0], "replacementDefaultId": cards[0]["id"], "idempotencyKey": new_key()}
    assert codes(run(gateway, DELETE, gone)) == []
    eventually(
        lambda: [
            use.last_used_at
            for use in gateway.on_loop(gateway.gateway.store.key_uses.all())
            if (use.purpose, use.name) == ("id_key", key_name(OLD["id_key"])) and use.last_used_at
        ],
        "the use of the old id key",
    )


def test_a_replica_without_the_fresh_key_is_protected(start: Start, sandbox: RunningSandbox) -> None:
    """The first step was skipped: one replica has only the old keys."""
    one = start(OLD)
    partner, value = api_key(one), adding(loanpro_card(sandbox), idempotencyKey=new_key())
    run(one, ADD, value)
    two = start(ROTATED)
    assert "the first digest_key" in two.log
    assert "is unknown to the process" in two.log
    for replica in (two, one, two, one):
        assert is_accepted(replica, partner)
        assert run(replica, ADD, value)["operation"]["replayed"] is True
    two.on_loop(two.gateway.key_uses.flush())
    assert stored(two).digest_key == key_name(OLD["digest_key"]), "not stored anew: the other one would refuse it"
    other = adding(loanpro_card(sandbox), idempotencyKey=new_key())
    assert codes(run(two, ADD, other)) == []
    refused = run(one, ADD, other)
    assert codes(refused) == ["STORE_UNAVAILABLE"], "not IDEMPOTENCY_KEY_REUSED: it cannot know"
    assert refused["userErrors"][0]["retryable"] is True


def test_webhooks_signed_with_either_secret_are_accepted(start: Start, sandbox: RunningSandbox) -> None:
    old = sandbox.credentials("caselle")["webhook_secret"]
    one = start(OLD, caselle={"webhook_secret": old})
    two = start(OLD, caselle={"webhook_secret": ["the vault's next secret", old]})

    def deliver(gateway: RunningGateway, secret: str, name: str) -> int:
        body = json.dumps({"id": name, "event_type": "provider.noc", "data": {}}).encode()
        stamp = str(int(time.time()))
        signed = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"x-webhook-timestamp": stamp, "x-webhook-signature": f"sha256={signed}"}
        return gateway.request("POST", "/webhooks/caselle/pa_7Qm2", body, headers).status

    assert [deliver(gateway, old, f"evt-{number}") for number, gateway in enumerate((one, two))] == [200, 200]
    assert deliver(two, "the vault's next secret", "evt-3") == 200
    assert deliver(one, "the vault's next secret", "evt-4") == 401
    two.on_loop(two.gateway.key_uses.flush())
    uses = two.on_loop(two.gateway.store.key_uses.all())
    used = {use.name for use in uses if use.purpose == "caselle.webhook_secret" and use.last_used_at}
    assert used == {key_name(old)}
