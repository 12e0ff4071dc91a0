"""Sends one webhook: a POST over a new connection to a checked address, without redirects, within a deadline."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.client_exceptions import ClientConnectorCertificateError, ClientConnectorDNSError, ClientSSLError

from app.endpoints.addresses import AddressRefused, EndpointRefused, PublicResolver, host_of
from app.http.retry import retry_after_s

_MOST_READ: Final = 64_000
_FIXED: Final = {"content-type": "application/json", "user-agent": "vaultgraph", "accept-encoding": "identity"}


@dataclass(frozen=True, slots=True)
class SendResult:
    """`status` of the answer; None without one, `error` then says why. `retry_after_s`: the receiver's wish."""

    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        return self.status == 410


class WebhookSender:
    """One per process. Ignores proxies of the environment, cookies and the contents of answers."""

    def __init__(self, resolver: PublicResolver, *, timeout_s: float) -> None:
        self._resolver: Final = resolver
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> SendResult:
        """Never raises because of the receiver. An answer counts once its head is read."""
        try:
            host_of(url, allow_loopback=self._resolver.allow_loopback)
            session = self._session or self._open()
            async with session.post(url, data=body, headers={**_FIXED, **headers}, allow_redirects=False) as answer:
                result = SendResult(
                    answer.status,
                    None if 200 <= answer.status < 300 else f"HTTP_{answer.status}",
                    retry_after_s(answer.headers.get("retry-after")),
                )
                with suppress(aiohttp.ClientError, OSError):  # so that the receiver can finish sending a short body
                    await answer.content.read(_MOST_READ)
                return result
        except EndpointRefused:
            return SendResult(error="ADDRESS_REFUSED")
        except TimeoutError:
            return SendResult(error="TIMEOUT")
        except (ClientConnectorCertificateError, ClientSSLError):
            return SendResult(error="TLS")
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefused):
                return SendResult(error="ADDRESS_REFUSED")
            return SendResult(error="DNS" if isinstance(error, ClientConnectorDNSError) else "CONNECT")
        except AddressRefused:
            return SendResult(error="ADDRESS_REFUSED")
        except (aiohttp.ClientError, OSError, ValueError):
            return SendResult(error="NO_ANSWER")

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            socket_factory=self._resolver.open_socket,
            use_dns_cache=False,
            force_close=True,  # every delivery checks the address that it connects to
            limit=0,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()
