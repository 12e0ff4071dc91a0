"""Key sets: which keys are used, when a set is reloaded, and what happens when it cannot be."""

import asyncio
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from app.errors import SettingsError
from app.http.jwks import FetchedKeys, FileKeys, KeySet, KeysUnavailable, NotAKeySet
from tests.support.issuer import ec_key, key_set, listed, rsa_key


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Returns `document`, or raises it."""

    def __init__(self, document: bytes | Exception) -> None:
        self.document = document
        self.fetches = 0
        self.gate: asyncio.Event | None = None

    async def fetch(self) -> bytes:
        self.fetches += 1
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.document, Exception):
            raise self.document
        return self.document


def source(issuer: Issuer, clock: Clock) -> FetchedKeys:
    return FetchedKeys(issuer.fetch, max_age_s=600, min_interval_s=10, keep_for_s=3_600, clock=clock)


def test_a_key_decides_its_algorithm() -> None:
    keys = KeySet.parse(key_set(listed(rsa_key(), "r"), listed(ec_key(), "e")))
    assert len(keys) == 2
    for key_id, algorithm in (("r", "RS256"), ("e", "ES256")):
        found = keys.find(key_id, algorithm)
        assert found is not None
        assert (found.key_id, found.algorithm) == (key_id, algorithm)
    assert keys.find("r", "ES256") is None
    assert keys.find("e", "RS256") is None
    assert keys.find("r", "HS256") is None


@pytest.mark.parametrize(
    "unusable",
    [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "x"},
        listed(rsa_key("weak", 1024), "x"),
        listed(ec_key("p384", ec.SECP384R1), "x"),
        listed(rsa_key(), "x", use="enc"),
        listed(rsa_key(), "x", alg="RS512"),
        listed(rsa_key(), "x", alg="HS256"),
        listed(ec_key(), "x", key_ops=["sign"]),
        {"kty": "RSA", "kid": "x"},
        {"kty": "RSA", "n": 5, "e": [], "kid": "x"},
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "x"},
        {"kty": ["RSA"]},
        "text",
        None,
    ],
)
def test_unusable_keys_are_left_out(unusable: object) -> None:
    keys = KeySet.parse(json.dumps({"keys": [unusable, listed(ec_key(), "good")]}).encode())
    assert len(keys) == 1
    assert keys.find("x", "RS256") is keys.find("x", "ES256") is None
    with pytest.raises(NotAKeySet):
        KeySet.parse(json.dumps({"keys": [unusable]}).encode())


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b"\xff", pytest.param(b"[" * 100_000, id="deep"), b"<html>"],
)
def test_an_invalid_key_set_is_refused(raw: bytes) -> None:
    with pytest.raises(NotAKeySet):
        KeySet.parse(raw)


def test_without_an_id_the_only_key_is_used() -> None:
    one = KeySet.parse(key_set(listed(rsa_key()), listed(ec_key())))
    assert one.find(None, "RS256") is not None
    two = KeySet.parse(key_set(listed(rsa_key(), "a"), listed(rsa_key("other"), "b")))
    assert two.find(None, "RS256") is None


def test_a_private_key_in_a_public_set_is_not_used() -> None:
    with pytest.raises(NotAKeySet):
        KeySet.parse(key_set(listed(ec_key(), "x", d="c2VjcmV0")))


async def test_a_file_is_read_once_and_named_when_it_is_unusable(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(key_set(listed(ec_key(), "e")))
    keys = FileKeys(path)
    path.unlink()
    assert await keys.find("e", "ES256") is not None
    with pytest.raises(SettingsError, match=r"auth\.jwks_path.*No such file"):
        FileKeys(path)
    path.write_text("{}")
    with pytest.raises(SettingsError, match=r"auth\.jwks_path.*Key Set"):
        FileKeys(path)


async def test_a_set_is_loaded_on_first_use_and_cached() -> None:
    issuer, clock = Issuer(key_set(listed(ec_key(), "e"))), Clock()
    keys = source(issuer, clock)
    assert issuer.fetches == 0
    for _ in range(3):
        assert await keys.find("e", "ES256") is not None
    assert issuer.fetches == 1


async def test_a_new_key_is_found_by_reading_again() -> None:
    issuer, clock = Issuer(key_set(listed(ec_key(), "old"))), Clock()
    keys = source(issuer, clock)
    assert await keys.find("old", "ES256") is not None
    issuer.document = key_set(listed(ec_key("next"), "new"))
    clock.now += 10
    assert await keys.find("new", "ES256") is not None
    assert await keys.find("old", "ES256") is None, "a key that was taken out is believed no longer"
    assert issuer.fetches == 2


async def test_invented_key_ids_cause_one_fetch_per_interval() -> None:
    issuer, clock = Issuer(key_set(listed(ec_key(), "e"))), Clock()
    keys = source(issuer, clock)
    await keys.find("e", "ES256")
    for number in range(1_000):
        clock.now += 0.05
        assert await keys.find(f"made-up-{number}", "ES256") is None
    assert issuer.fetches <= 1 + 5


async def test_concurrent_callers_share_a_fetch_and_cancelling_one_does_not_end_it() -> None:
    issuer, clock = Issuer(key_set(listed(ec_key(), "e"))), Clock()
    issuer.gate = asyncio.Event()
    keys = source(issuer, clock)
    waiting = [asyncio.create_task(keys.find("e", "ES256")) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    issuer.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(getattr(one, "key_id", None) == "e" for one in found[1:])
    assert issuer.fetches == 1


@pytest.mark.parametrize("failure", [OSError("no route"), b"<html>", b'{"keys": []}'])
async def test_a_set_that_cannot_be_reloaded_stays_in_use_for_a_while(failure: bytes | Exception) -> None:
    issuer, clock = Issuer(key_set(listed(ec_key(), "e"))), Clock()
    keys = source(issuer, clock)
    await keys.find("e", "ES256")
    issuer.document = failure
    clock.now += 700
    assert await keys.find("e", "ES256") is not None
    await asyncio.sleep(0)
    assert issuer.fetches == 2, "it was read again, beside the request"
    clock.now += 3_600
    with pytest.raises(KeysUnavailable):
        await keys.find("e", "ES256")


async def test_a_set_that_was_never_loaded_is_unavailable_and_not_retried_at_once() -> None:
    issuer, clock = Issuer(OSError("no route")), Clock()
    keys = source(issuer, clock)
    for _ in range(5):
        with pytest.raises(KeysUnavailable):
            await keys.find("e", "ES256")
    assert issuer.fetches == 1
    issuer.document, clock.now = key_set(listed(ec_key(), "e")), clock.now + 10
    assert await keys.find("e", "ES256") is not None
