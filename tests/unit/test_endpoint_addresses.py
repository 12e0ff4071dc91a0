"""Which URLs and addresses a webhook may be sent to, at registration and at the moment of the connection."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.endpoints.addresses import AddressRefused, EndpointRefused, PublicResolver, check_url, is_allowed
from app.endpoints.sender import SendResult, WebhookSender
from tests.support.certificates import mutual_tls
from tests.support.receiver import Receiver
from tests.support.threaded_server import ThreadedServer

PUBLIC = "93.184.216.34"
NOT_PUBLIC = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "not an address", "",
]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(address, allow_loopback=False)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(address, allow_loopback=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_development_allows_loopback_and_nothing_else(address: str) -> None:
    assert is_allowed(address, allow_loopback=True)
    for other in ("10.0.0.1", "169.254.169.254", "::", "0.0.0.0", "fe80::1"):
        assert not is_allowed(other, allow_loopback=True)


class Names:
    """Answers with the next list of addresses; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def look_up(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://hooks.example/x", "https"),
        ("http://127.0.0.1/x", "https"),
        ("ftp://hooks.example", "https"),
        ("hooks.example", "host"),
        ("https://", "host"),
        ("https://hooks.example:70000/", "URL"),
        ("https://[::1/", "URL"),
        ("https://ann:pw@hooks.example/", "user name"),
        ("https://hooks.example/#x", "fragment"),
        ("https://hooks.example/a b", "ASCII"),
        ("https://hooks.example/\r\nx: y", "ASCII"),
        ("https://höoks.example/", "ASCII"),
        ("https://hooks.example/" + "a" * 2_000, "2000"),
    ],
)
async def test_a_url_that_cannot_be_an_endpoint_is_refused_by_its_rule(url: str, rule: str) -> None:
    names = Names([PUBLIC])
    with pytest.raises(EndpointRefused) as refused:
        await check_url(url, PublicResolver(look_up=names.look_up))
    assert rule in str(refused.value)
    assert "hooks.example/a" not in str(refused.value)
    assert names.asked == []


async def test_one_address_that_is_not_public_refuses_the_name() -> None:
    await check_url("https://hooks.example:8443/x?y=z", PublicResolver(look_up=Names([PUBLIC]).look_up))
    with pytest.raises(EndpointRefused, match="not public"):
        await check_url("https://hooks.example/", PublicResolver(look_up=Names([PUBLIC, "10.0.0.1"]).look_up))
    with pytest.raises(EndpointRefused, match="resolved"):
        await check_url("https://hooks.example/", PublicResolver(look_up=Names([]).look_up))


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]"]
)
async def test_every_spelling_of_loopback_is_refused_before_a_connection(host: str) -> None:
    """The system's resolver understands forms that the standard library's parser of addresses refuses."""
    resolver = PublicResolver()
    with ThreadedServer(lambda client: None) as server:
        with pytest.raises(EndpointRefused):
            await check_url(f"https://{host}:{server.port}/", resolver)
        sender = WebhookSender(resolver, timeout_s=10)
        assert await sender.send(f"https://{host}:{server.port}/", {}, b"{}") == SendResult(error="ADDRESS_REFUSED")
        await sender.close()
        assert server.connections == 0


async def test_a_name_that_changes_its_address_after_the_check_reaches_nothing() -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    resolver = PublicResolver(look_up=names.look_up)
    with ThreadedServer(lambda client: None) as server:
        url = f"https://rebound.example:{server.port}/"
        await check_url(url, resolver)
        sender = WebhookSender(resolver, timeout_s=10)
        assert await sender.send(url, {}, b"{}") == SendResult(error="ADDRESS_REFUSED")
        await sender.close()
        assert (server.connections, names.asked) == (0, ["rebound.example"] * 2)


async def test_a_name_that_is_not_resolved_has_one_look_up_however_many_wait() -> None:
    asked: list[str] = []
    is_answered = asyncio.Event()

    async def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        await is_answered.wait()
        return [PUBLIC] if host == "slow.example" else ["10.0.0.1"]

    resolver = PublicResolver(look_up=look_up)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(resolver.addresses("slow.example", 443), 0.01)
    inside = asyncio.ensure_future(resolver.addresses("inside.example", 443))
    late = asyncio.ensure_future(resolver.addresses("slow.example", 443))
    await asyncio.sleep(0)
    is_answered.set()
    assert await late == [PUBLIC]
    with pytest.raises(AddressRefused):
        await inside
    assert asked == ["slow.example", "inside.example"]
    await resolver.addresses("slow.example", 443)
    assert asked[2:] == ["slow.example"], "each delivery after it looks again"
    await resolver.close()


async def test_names_whose_servers_are_silent_do_not_delay_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over, system = threading.Event(), socket.getaddrinfo

    def getaddrinfo(host: str, *more: object, **options: object) -> object:
        if host.startswith("silent"):
            is_over.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return system(host, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    waiting, impatient = PublicResolver(allow_loopback=True), PublicResolver(look_up_s=0.01)
    silent = [asyncio.ensure_future(waiting.addresses(f"silent{number}.example", 443)) for number in range(70)]
    try:
        await asyncio.sleep(0)
        assert "127.0.0.1" in await waiting.addresses("localhost", 443)
        assert not any(one.done() for one in silent)
        with pytest.raises(EndpointRefused, match="resolved"):
            await check_url("https://silent.example/", impatient)
        sender = WebhookSender(impatient, timeout_s=10)
        assert await sender.send("https://silent.example/", {}, b"{}") == SendResult(error="DNS")
        await sender.close()
    finally:
        is_over.set()
    found = await asyncio.gather(*silent, return_exceptions=True)
    assert {type(one) for one in found} == {socket.gaierror}
    await waiting.close()


async def test_the_connection_goes_to_the_checked_address_without_another_look_up() -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    with Receiver() as receiver:
        port = receiver.url.rsplit(":", 1)[1].partition("/")[0]
        sender = WebhookSender(PublicResolver(allow_loopback=True, look_up=names.look_up), timeout_s=10)
        assert (await sender.send(f"http://localhost:{port}/hook", {}, b"{}")).status == 204
        assert (await sender.send(f"http://localhost:{port}/hook", {}, b"{}")).error == "ADDRESS_REFUSED"
        await sender.close()
        assert len(receiver.seen) == 1
        assert receiver.seen[0].headers["host"] == f"localhost:{port}"


@pytest.fixture
async def sender() -> AsyncIterator[WebhookSender]:
    made = WebhookSender(PublicResolver(allow_loopback=True), timeout_s=0.5)
    yield made
    await made.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(sender: WebhookSender, status: int) -> None:
    with Receiver() as other, Receiver(lambda webhook: (status, {"location": other.url})) as receiver:
        found = await sender.send(receiver.url, {}, b"{}")
        assert (found.status, found.error, found.is_delivered) == (status, f"HTTP_{status}", False)
        assert other.seen == []


async def test_an_answer_counts_by_its_status_however_long_it_is(sender: WebhookSender) -> None:
    def endless(client: object) -> None:
        client.recv(65_536)  # type: ignore[attr-defined]
        client.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")  # type: ignore[attr-defined]
        while True:
            client.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")  # type: ignore[attr-defined]

    with ThreadedServer(endless) as server:
        assert (await sender.send(server.url, {}, b"{}")).is_delivered


async def test_a_certificate_of_an_unknown_authority_is_refused(sender: WebhookSender, tmp_path: Path) -> None:
    with ThreadedServer(
        lambda client: client.sendall(b"HTTP/1.1 204 X\r\n\r\n"), mutual_tls(tmp_path).server
    ) as server:
        assert await sender.send(server.url, {}, b"{}") == SendResult(error="TLS")


async def test_silence_refusals_and_nonsense_are_failures(sender: WebhookSender) -> None:
    with ThreadedServer(lambda client: client.recv(1 << 20) and client.recv(1)) as silent:  # type: ignore[func-returns-value]
        assert await sender.send(silent.url, {}, b"{}") == SendResult(error="TIMEOUT")
    with ThreadedServer(lambda client: client.sendall(b"SSH-2.0-x\r\n" * 9)) as nonsense:
        assert (await sender.send(nonsense.url, {}, b"{}")).error == "NO_ANSWER"
        assert (await sender.send(nonsense.url.replace("http:", "https:"), {}, b"{}")).error == "TLS"
    assert (await sender.send(nonsense.url, {}, b"{}")).error == "CONNECT"
