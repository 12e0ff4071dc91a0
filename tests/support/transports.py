"""Runs the same tests over either transport."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

from app.http.transports.choice import KINDS, Kind, open_transport

CHOSEN = os.environ.get("VAULTGRAPH_TEST_TRANSPORT")
"""``lean`` or ``aiohttp``: run everything over that one (``VAULTGRAPH_TEST_TRANSPORT=lean pytest``)."""

BOTH: tuple[Kind, ...] = tuple(kind for kind in KINDS if CHOSEN in (None, "", kind))
assert BOTH, "VAULTGRAPH_TEST_TRANSPORT names no transport"


@contextmanager
def force_transport(kind: Kind) -> Iterator[None]:
    """HTTP clients created meanwhile use this transport, regardless of their settings."""

    def forced(_: Kind, **options: object) -> object:
        return partial(open_transport, kind)(**options)  # type: ignore[arg-type]

    with patch("app.http.client.open_transport", forced):
        yield
