"""URL parsing of the lean transport, and when aiohttp is used instead."""

import pytest

from app.errors import SettingsError
from app.http.auth import StaticHeaders
from app.http.client import create_client
from app.http.settings import ProviderSettings
from app.http.transports.base import Cause, NotSent
from app.http.transports.choice import kind_of, open_transport
from app.http.transports.lean import LeanTransport


@pytest.mark.parametrize(
    ("url", "header", "target"),
    [
        ("http://Vault.Example", "vault.example", "/"),
        ("http://vault.example?a=/b", "vault.example", "/?a=/b"),
        ("http://vault.example:80/a/b?c=d", "vault.example", "/a/b?c=d"),
        ("http://vault.example:8080/a//b", "vault.example:8080", "/a//b"),
        ("https://vault.example:443/", "vault.example", "/"),
        ("https://vault.example:80/#f", "vault.example:80", "/"),
        ("http://[::1]:8080/a", "[::1]:8080", "/a"),
    ],
)
def test_host_header_and_target_of_urls(url: str, header: str, target: str) -> None:
    transport = LeanTransport(connections=1, max_body_bytes=1)
    expected = f"GET {target} HTTP/1.1\r\nhost: {header}\r\n\r\n".encode()
    assert [transport._serialized("GET", url, {}, None)[1] for _ in range(2)] == [expected, expected]
    assert len(transport._hosts) == 1


@pytest.mark.parametrize(
    "url", ["", "x", "http://", "http:///a", "ftp://x/", "http://u:p@x/", "http://x:0/", "http://[x/"]
)
def test_invalid_urls_are_refused(url: str) -> None:
    with pytest.raises(NotSent) as caught:
        LeanTransport(connections=1, max_body_bytes=1)._serialized("GET", url, {}, None)
    assert caught.value.cause is Cause.INVALID
    assert "u:p" not in str(caught.value)


def test_lean_is_the_default_and_a_proxy_selects_aiohttp() -> None:
    assert kind_of(ProviderSettings()) == "lean"
    assert kind_of(ProviderSettings(transport="aiohttp")) == "aiohttp"
    assert kind_of(ProviderSettings(proxy="http://proxy.test:3128", transport="lean")) == "aiohttp"
    assert isinstance(open_transport("lean", connections=1, max_body_bytes=1), LeanTransport)
    with pytest.raises(ValueError, match="proxy"):
        open_transport("lean", connections=1, max_body_bytes=1, proxy="http://proxy.test:3128")


@pytest.mark.parametrize(
    "proxy",
    ["proxy.test", "socks5://x:1", "http://", "http://u:p@proxy.test", "http://x/path", "http://x:a", "http://x?a"],
)
def test_an_unusable_proxy_is_rejected_immediately(proxy: str) -> None:
    with pytest.raises(SettingsError, match=r"caselle\.proxy") as caught:
        create_client("caselle", ProviderSettings(base_url="http://x", proxy=proxy), StaticHeaders({}))
    assert "u:p" not in str(caught.value)
