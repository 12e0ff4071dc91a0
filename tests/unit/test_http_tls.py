"""Private authorities and client certificates towards vaults, on both transports."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from app.errors import OutcomeUnknown, SettingsError, VaultError, VaultUnavailable
from app.http.auth import OAuthClientCredentials, StaticHeaders
from app.http.client import create_client
from app.http.message import Effect, VaultReply, VaultRequest
from app.http.settings import ProviderSettings
from app.http.tls import client_certificate_end, client_context
from app.http.transports.choice import KINDS, Kind
from app.settings.model import load_settings
from app.vault.provider import Call
from tests.support.certificates import MutualTls, mutual_tls
from tests.support.raw_server import reply
from tests.support.threaded_server import ThreadedServer


@pytest.fixture
def tls(tmp_path: Path) -> MutualTls:
    return mutual_tls(tmp_path)


def answer(client: socket.socket) -> None:
    while client.recv(10_000):
        client.sendall(reply(200, b'{"access_token": "abc", "expires_in": 60}'))


def call() -> Call:
    return Call(deadline_at=asyncio.get_running_loop().time() + 5, request_id="r1")


async def ask(settings: ProviderSettings, effect: Effect = Effect.READ) -> VaultReply:
    client = create_client("aloha", settings, StaticHeaders({}))
    try:
        return await client.send(VaultRequest(method="GET", path="x", route="x", effect=effect), call())
    finally:
        await client.close()


@pytest.mark.parametrize("transport", KINDS)
async def test_a_vault_that_demands_a_certificate_is_reached(tls: MutualTls, transport: Kind) -> None:
    with ThreadedServer(answer, tls.server) as vault:
        settings = ProviderSettings(base_url=vault.url, transport=transport, retries=0, **tls.settings)
        assert (await ask(settings)).status == 200


@pytest.mark.parametrize("transport", KINDS)
async def test_without_a_certificate_the_vault_answers_nothing(tls: MutualTls, transport: Kind) -> None:
    with ThreadedServer(answer, tls.server) as vault:
        alone = ProviderSettings(base_url=vault.url, transport=transport, retries=0, ca_file=tls.ca_file)
        with pytest.raises(VaultUnavailable):
            await ask(alone)
        with pytest.raises(VaultError) as caught:
            await ask(alone, Effect.WRITE)
        assert isinstance(caught.value, OutcomeUnknown | VaultUnavailable)


@pytest.mark.parametrize("transport", KINDS)
async def test_public_authorities_do_not_vouch_for_a_private_one(tls: MutualTls, transport: Kind) -> None:
    certificate = {name: value for name, value in tls.settings.items() if name != "ca_file"}
    with ThreadedServer(answer, tls.server) as vault:
        settings = ProviderSettings(base_url=vault.url, transport=transport, retries=0, **certificate)
        with pytest.raises(VaultUnavailable):
            await ask(settings)


async def test_the_token_endpoint_gets_the_certificate_too(tls: MutualTls) -> None:
    with ThreadedServer(answer, tls.server) as vault:
        context = client_context("caselle", ProviderSettings(**tls.settings))
        credentials = OAuthClientCredentials("caselle", vault.url, "us", client_secret="secret", tls=context)
        try:
            auth = await credentials.get(asyncio.get_running_loop().time() + 5)
        finally:
            await credentials.close()
        assert auth.headers == {"Authorization": "Bearer abc"}


def test_files_that_cannot_be_used_are_named(tls: MutualTls, tmp_path: Path) -> None:
    nonsense, missing = tmp_path / "nonsense.pem", str(tmp_path / "missing.pem")
    nonsense.write_text("hunter2")
    locked = tmp_path / "locked.pem"
    sealed = BestAvailableEncryption(b"hunter2")
    key = ec.generate_private_key(ec.SECP256R1())
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
    pair = "aloha.client_cert_file, aloha.client_key_file: no certificate and its key in PEM form, without a password"
    for changes, said in (
        ({"ca_file": str(nonsense)}, "aloha.ca_file: no certificate in PEM form"),
        ({"ca_file": missing}, "aloha.ca_file: No such file or directory"),
        ({"client_cert_file": tls.ca_file}, pair),
        ({"client_key_file": str(locked)}, pair),
        ({"client_key_file": ""}, "aloha.client_cert_file and aloha.client_key_file: set both or none"),
    ):
        with pytest.raises(SettingsError) as refused:
            client_context("aloha", ProviderSettings(**{**tls.settings, **changes}))
        assert str(refused.value) == said
    assert client_context("aloha", ProviderSettings()) is None


def test_settings_hold_the_paths_and_a_key_is_private(tls: MutualTls) -> None:
    environ = {f"VAULTGRAPH_ALOHA__{name.upper()}": value for name, value in tls.settings.items()}
    assert load_settings(None, environ).aloha.client_key_file == tls.client_key_file
    Path(tls.ca_file).chmod(0o644)  # public, unlike a key
    assert load_settings(None, {}, aloha=tls.settings).aloha.ca_file == tls.ca_file
    Path(tls.client_key_file).chmod(0o644)
    with pytest.raises(SettingsError, match=r"^aloha\.client_key_file: every user of this machine can read"):
        load_settings(None, environ)


def test_the_end_of_a_certificate_is_known(tmp_path: Path) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    assert client_certificate_end(ProviderSettings(**mutual_tls(tmp_path, ends).settings)) == ends
    assert client_certificate_end(ProviderSettings()) is None
