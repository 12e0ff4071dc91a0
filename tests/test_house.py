"""The house's own checks, in the same command as the tests: lint, format, types, the Dockerfile, what a wheel holds."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = ROOT, timeout: float = 300) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def test_ruff_finds_nothing() -> None:
    run(BIN / "ruff", "check", ".")


def test_the_format_is_the_houses() -> None:
    run(BIN / "ruff", "format", "--check", ".")


def test_types_are_strict() -> None:
    run(BIN / "mypy")


def test_the_types_refuse_to_change_a_value(tmp_path: Path) -> None:
    changing = tmp_path / "changing.py"
    changing.write_text(
        "from app.vault.model import Card\n\ndef f(one: Card) -> None:\n    one.title = None\n", "utf-8"
    )
    done = subprocess.run([BIN / "mypy", changing], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ':4: error: Property "title" defined in "Card" is read-only' in done.stdout


@pytest.mark.xdist_group("house")
def test_a_group_of_tests_has_one_worker(request: pytest.FixtureRequest) -> None:
    """pytest-xdist takes the group from the id. Without it, every worker repeats what a group's tests share."""
    assert request.node.nodeid.endswith("@house") is ("PYTEST_XDIST_WORKER" in os.environ)


def test_the_dockerfile_lints() -> None:
    run(BIN / "hadolint", "Dockerfile")


def test_a_wheel_holds_all_it_needs_and_runs_anywhere(tmp_path: Path) -> None:
    source = tmp_path / "source"
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    assets = ROOT / "app" / "api" / "assets"
    if assets.is_dir():  # bundled when this checkout was installed; saves this test a minute of npm
        shutil.copytree(assets, source / "app" / "api" / "assets")
    run(BIN / "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {"app/cli/main.py", "resolvers/schema.py", "app/schema.graphql", "app/store/migrations/env.py"}
    expected.add("app/testing/writing.py")  # for packages that add a vault
    expected.add("app/cli/demo_documents/wallet.graphql")
    if shutil.which("npm"):
        expected |= {"app/api/assets/graphiql.js", "app/api/assets/graphql.worker.js"}
    assert expected <= names
    assert not [name for name in names if "node_modules" in name or name.startswith(("tests/", "bench/"))]
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    code = (
        "import app, sys; from app.cli.main import main; "
        "assert app.__file__.startswith(sys.argv[1]), app.__file__; main(['schema'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(unpacked)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == (ROOT / "schema.graphql").read_text("utf-8")


def test_lock_files_name_no_addresses() -> None:
    for name in run("git", "ls-files").splitlines():
        if name.endswith("package-lock.json"):
            assert '"resolved"' not in (ROOT / name).read_text("utf-8"), name
        elif name.startswith("requirements/"):
            assert "://" not in (ROOT / name).read_text("utf-8"), name
