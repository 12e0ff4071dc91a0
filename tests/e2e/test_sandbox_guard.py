"""The control API is for scripts on this machine; the sandbox's files are readable only by their owner."""

import stat
from pathlib import Path

import pytest

from tests.support.command import vaultgraph
from tests.support.sandbox import RunningSandbox

FAULT = b'{"provider": "aloha", "kind": "hang"}'
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**JSON, "host": "evil.example"}, 403),  # DNS rebinding
        ({**JSON, "host": "evil.example:8001"}, 403),
        ({**JSON, "host": "localhost.evil.example"}, 403),
        ({**JSON, "host": "127.0.0.1.nip.io"}, 403),
        ({**JSON, "origin": "https://evil.example"}, 403),
        ({**JSON, "origin": "null"}, 403),
        ({**JSON, "sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "application/x-www-form-urlencoded", "origin": "http://localhost:3000"}, 415),
        ({"content-type": "application/x-www-form-urlencoded", "origin": "https://evil.example"}, 403),
        ({"content-type": "application/x-www-form-urlencoded"}, 200),  # curl -d
        (JSON, 200),
        ({**JSON, "host": "localhost:8001"}, 200),
        ({**JSON, "host": "[::1]:8001"}, 200),
        ({**JSON, "host": "sandbox:8001"}, 200),  # a container's name
        ({**JSON, "host": "192.168.1.20:8001"}, 200),
        ({**JSON, "origin": "http://localhost:3000"}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_pages_of_other_sites_cannot_control_the_sandbox(
    headers: dict[str, str], status: int, sandbox: RunningSandbox
) -> None:
    reply = sandbox.request("POST", "/__sandbox/faults", FAULT, headers)
    assert reply.status == status, reply.body
    assert len(sandbox.control("GET", "/faults")) == (1 if status == 200 else 0)
    if status == 403:
        assert sandbox.request("GET", "/__sandbox/credentials", None, headers).status == 403


@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        ("http://127.0.0.1:9/x", True),
        ("http://localhost:9/x", True),
        ("http://[::1]:9/x", True),
        ("http://hooks.example/x", False),
        ("http://10.0.0.8/x", False),
        ("http://169.254.169.254/latest", False),
        ("http://127.0.0.1@hooks.example/x", False),
    ],
)
def test_it_calls_back_to_its_own_machine_only(url: str, is_taken: bool, sandbox: RunningSandbox) -> None:
    reply = sandbox.request("POST", "/__sandbox/webhooks", {"provider": "caselle", "url": url})
    assert reply.status == (200 if is_taken else 400), reply.body
    sandbox.control("POST", "/webhooks", {"provider": "caselle"})


def test_state_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with RunningSandbox(folder) as running:
        running.control("POST", "/webhooks", {"provider": "caselle", "url": "http://127.0.0.1:9/"})
    assert vaultgraph("token", "--data-dir", folder).returncode == 0
    assert vaultgraph("migrate", "--data-dir", folder).returncode == 0
    found = {path.relative_to(folder): stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert {str(path.parent) for path in found} >= {".", "sandbox"}
    for path, mode in found.items():
        assert mode == (0o700 if (folder / path).is_dir() else 0o600), (path, oct(mode))
