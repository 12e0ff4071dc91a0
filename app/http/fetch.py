"""Fetches one document from a configured URL: https only, no redirects, limited time and size."""

import asyncio
from typing import Final
from urllib.parse import urlsplit

from app.errors import SettingsError, VaultgraphError
from app.http.transports.aiohttp_transport import AiohttpTransport

_WITHIN_S: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class NotFetched(VaultgraphError):
    """The reply has a status other than 200."""


class DocumentFetcher:
    """Fetches `url` on each call. Raises SettingsError for a URL that is neither https nor on loopback."""

    def __init__(self, url: str, *, setting: str, max_bytes: int = 256_000, within_s: float = _WITHIN_S) -> None:
        parts = urlsplit(url)
        is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        if not parts.hostname or parts.username is not None or not (parts.scheme == "https" or is_local):
            raise SettingsError(f"{setting} must be an https address, without a user name in it")
        self._url = url
        self._max_bytes = max_bytes
        self._within_s = within_s

    async def fetch(self) -> bytes:
        """Raises NotFetched or TransportError."""
        transport = AiohttpTransport(connections=1, max_body_bytes=self._max_bytes)  # too rarely used to keep open
        try:
            deadline_at = asyncio.get_running_loop().time() + self._within_s
            headers = {"accept": "application/json", "user-agent": "vaultgraph"}
            reply = await transport.send("GET", self._url, headers, None, deadline_at)
        finally:
            await transport.close()
        if reply.status != 200:
            raise NotFetched(f"status {reply.status}")
        return reply.body
