"""Adapters on the sandbox, built from settings, and calls with a deadline that no test reaches."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from app.cli.development import dev_settings
from app.settings.model import Settings
from app.vault.provider import Call
from tests.support.sandbox import RunningSandbox

KEYS = {"id_key": "test-id-key-" + "k" * 32, "digest_key": "test-digest-key-" + "d" * 32}
REQUEST_ID = "3f0f6a52-6f0c-4f63-9f0e-0c7f6a5d1b2c"


def settings_on(sandbox: RunningSandbox, **overrides: Any) -> Settings:
    """Development settings for this sandbox; `overrides` as `load_settings` takes them."""
    folder = Path(tempfile.gettempdir())
    return dev_settings(sandbox.credentials(), KEYS, folder, None, environ={}, **overrides)


def soon(seconds: float = 15, request_id: str = REQUEST_ID) -> Call:
    return Call(deadline_at=asyncio.get_running_loop().time() + seconds, request_id=request_id)


def paths(sandbox: RunningSandbox, provider: str) -> list[str]:
    """``VERB path`` of each call in order, without token calls."""
    return [f"{row['method']} {row['path']}" for row in sandbox.calls(provider)]
