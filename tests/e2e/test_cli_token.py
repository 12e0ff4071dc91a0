"""`vaultgraph token`: the token is alone on its last line, and valid only for the gateway of the same data
directory.
"""

from pathlib import Path

import pytest

from app.api.auth.claims import END_USER_SCOPES
from app.api.auth.development import DEFAULT_SCOPES
from tests.support.command import vaultgraph
from tests.support.gateways import StartGateway

WHO = "{ viewer { partner scopes actingCustomer { id } } }"


def token(*arguments: str | Path, note: str = "") -> str:
    done = vaultgraph("token", *arguments)
    assert (done.returncode, done.stderr[: len(note)], bool(done.stderr)) == (0, note, bool(note))
    (alone,) = done.stdout.splitlines()[-1].split()
    return alone


def test_it_is_valid_for_the_gateway_of_its_data_directory(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway()

    def seen(*arguments: str) -> tuple[set[str], str | None]:
        minted = token("--data-dir", gateway.data_dir, *arguments)
        viewer = gateway.query(WHO, headers={"authorization": f"Bearer {minted}"}).data["viewer"]
        return set(viewer["scopes"]), (viewer["actingCustomer"] or {}).get("id")

    assert seen() == (DEFAULT_SCOPES, None)
    assert seen("--scope", "pan:write", "--scope", "explore, customers:read") == (
        {"pan:write", "explore", "customers:read"},
        None,
    )
    assert seen("--customer", "cus_alex") == (END_USER_SCOPES, "cus_alex")
    assert seen("--customer", "cus_alex", "--scope", "customers:read pan:write") == ({"customers:read"}, "cus_alex")
    stranger = token("--data-dir", tmp_path / "other", note=f"new key in {tmp_path / 'other'}: ")
    assert gateway.query(WHO, headers={"authorization": f"Bearer {stranger}"}).status == 401


@pytest.mark.parametrize(
    "arguments", [("--scope", "everything"), ("--customer",), ("--customer", "alex"), ("--scope", "PAN:write")]
)
def test_an_error_creates_no_token(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = vaultgraph("token", "--data-dir", tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def test_a_directory_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dev-token-key.pem").write_text("not a key")
    done = vaultgraph("token", "--data-dir", tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "--data-dir" in done.stderr
