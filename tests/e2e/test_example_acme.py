"""`examples/partners/acme`: the commands of its README work, and no schema change may break its documents."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import EXECUTABLE, vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.node import npm_ci, require_node

ROOT = Path(__file__).resolve().parents[2]
PARTNERS = ROOT / "examples" / "partners"
ACME = PARTNERS / "acme"
SCHEMA = ROOT / "schema.graphql"


def app(gateway: RunningGateway, key: str, *words: str) -> tuple[int, list[str]]:
    env = {**os.environ, "ACME_KEY": key, "ACME_URL": f"{gateway.url}/graphql"}
    done = subprocess.run(
        [require_node(), ACME / "app.mjs", *words], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, (done.stdout if done.returncode == 0 else done.stderr).splitlines()


def commands_of_the_readme() -> list[list[str]]:
    text = (ACME / "README.md").read_text("utf-8").replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in re.findall(r"^\.venv/bin/vaultgraph .*$", text, re.MULTILINE)]


def test_its_readmes_commands_work(demo_gateway: RunningGateway) -> None:
    require_node()
    result: dict[str, str] = {}
    for words in commands_of_the_readme():
        where = [] if words[:2] == ["documents", "check"] else ["--data-dir", str(demo_gateway.data_dir)]
        env = {"VAULTGRAPH_DIGEST_KEY": demo_gateway.settings.digest_key.first.reveal()}
        words = [
            str(ROOT / word) if word.startswith("examples/") or word == "schema.graphql" else word for word in words
        ]
        done = vaultgraph(*words, *where, **env if where else {})
        assert done.returncode == 0, (words, done.stderr)
        result[" ".join(words[:2])] = done.stdout
    key = result["partner add"].split()[-1]
    assert result["documents diff"] == "0 differences, 2 live.\n"

    status, shown = app(demo_gateway, key, "cus_alex")
    assert (status, shown[0], len(shown)) == (0, "Alex Morales", 10)
    assert "* 1. Visa ending 1111 (LOANPRO)" in shown
    status, shown = app(demo_gateway, key, "cus_alex", "5")
    assert status == 0, shown
    assert [line for line in shown if line.startswith("*")] == ["* 1. Discover ending 0919 (JPMORGAN)"], (
        "the default stands first"
    )
    assert app(demo_gateway, key, "cus_sam") == (1, ["no customer cus_sam that this app may see"])


@pytest.mark.timeout(400)
@pytest.mark.xdist_group("node")
def test_its_manifest_is_up_to_date(tmp_path: Path) -> None:
    node = require_node()
    modules = npm_ci(ROOT / "tests" / "node" / "clients")
    for name in ("operations", "persisted-query-manifest.config.json", "package.json"):
        (tmp_path / name).symlink_to(ACME / name)
    (tmp_path / "node_modules").symlink_to(modules)
    build = Path("node_modules/@apollo/generate-persisted-query-manifest/cli.js")
    subprocess.run([node, build], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    name = "persisted-query-manifest.json"
    assert (tmp_path / name).read_text("utf-8") == (ACME / name).read_text("utf-8").removesuffix("\n")


def check(*words: str | Path) -> tuple[int, list[str], list[str]]:
    done = vaultgraph("schema", "check", *words)
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def test_the_current_schema_breaks_no_example_partner() -> None:
    """What a schema change must pass before it can be merged."""
    assert EXECUTABLE.is_file()
    assert check("--against", SCHEMA, "--partners", PARTNERS) == (
        0,
        ["0 breaking, 0 dangerous, 0 safe; 2 documents of 1 partners checked."],
        [],
    )


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str, str], Path]:
    """The schema with one thing renamed."""

    def change(before: str, after: str) -> Path:
        new = tmp_path / "new.graphql"
        sdl = SCHEMA.read_text("utf-8")
        assert before in sdl
        new.write_text(sdl.replace(before, after), "utf-8")
        return new

    return change


def test_a_schema_that_breaks_a_partner_is_refused_by_name(changed: Callable[[str, str], Path]) -> None:
    new = changed("\n  isDefault: Boolean", "\n  isChosen: Boolean")
    status, out, broken = check("--against", SCHEMA, "--new", new, "--partners", PARTNERS)
    assert status == 1
    breaking = "breaking  Field PaymentMethod.isDefault was removed.  [acme/MakeDefault, acme/Wallet]"
    assert breaking in out
    assert broken == [
        "broken     acme: MakeDefault: Cannot query field 'isDefault' on type 'PaymentMethod'.",
        "broken     acme: Wallet: Cannot query field 'isDefault' on type 'PaymentMethod'.",
        "vaultgraph: 2 published documents break: keep what they use, or retire them",
    ]


def test_an_unused_change_is_reported_and_accepted(changed: Callable[[str, str], Path]) -> None:
    new = changed("  schemaDate: String!", "  schemaDay: String!")
    assert check("--against", SCHEMA, "--new", new, "--partners", PARTNERS) == (
        0,
        [
            "breaking  Field Viewer.schemaDate was removed.",
            "safe      Field Viewer.schemaDay was added.",
            "1 breaking, 0 dangerous, 1 safe; 2 documents of 1 partners checked.",
        ],
        [],
    )
