"""Imports go one way. The table is the design's; the test reads every import with `ast`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.providers import BUILT_IN

ROOT = Path(__file__).resolve().parent.parent

PROVIDERS = {"app.providers", "app.vault", "app.http", "app.settings.parse"}
GRAPHQL_INPUTS = {"resolvers.enums", "resolvers.inputs.fields", "resolvers.scalars", "app.wallet.problems"}

# room -> rooms it may import, besides itself, app.errors and app.caching. The longest matching room name decides.
MAY_IMPORT: dict[str, set[str]] = {
    "app.errors": set(),
    "app.caching": {"app.telemetry.dependency"},
    "app.telemetry": {"app.vault.pan"},
    "app.vault": set(),
    "app.vault.enums": {"app.providers"},  # which vaults there are: see `test_the_names_of_the_vaults_need_no_vault`
    "app.http": {"app.telemetry", "app.settings.parse"},
    "app.providers": PROVIDERS,
    **{f"app.providers.{vault}.graphql": PROVIDERS | GRAPHQL_INPUTS for vault in BUILT_IN},
    "app.store": {"app.vault", "app.telemetry"},
    "app.store.migrations.versions": {"app.vault", "app.providers.registry"},
    "app.wallet": {"app.vault", "app.store", "app.settings.model"},
    "app.endpoints": {"app.wallet", "app.store", "app.vault", "app.http.retry", "app.settings.model"},
    "app.execution": set(),
    "app.api": {
        "app.wallet",
        "app.store",
        "app.vault",
        "app.execution",
        "app.settings.model",
        "app.http.jwks",
        "app.telemetry",
        "app.server.addresses",
    },
    "app.sandbox": {"app.server.addresses", "app.server.sockets"},
    "app.server.sockets": set(),
    "app.settings": set(),
    "app.settings.model": {
        "app.settings.sources",
        "app.settings.parse",
        "app.settings.texts",
        "app.vault.secret",
        "app.http.settings",
        "app.providers.registry",
    },
    "app.settings.required": {
        "app.server.addresses",
        "app.settings.model",
        "app.settings.sources",
        "app.vault.secret",
        "app.providers.registry",
    },
    "app.settings.json_schema": {
        "app.settings.model",
        "app.settings.parse",
        "app.settings.reference",
        "app.settings.texts",
        "app.vault.secret",
    },
    "app.settings.reference": {
        "app.settings.model",
        "app.settings.parse",
        "app.http.settings",
        "app.providers.registry",
        "app.vault.secret",
    },
    "app.settings.sources": {"app.settings.texts"},
    "app.settings.parse": {"app.settings.texts", "app.vault.secret"},
    "app.settings.texts": set(),
    "app.server": {"app.telemetry"},
    "resolvers": {
        "app.vault",
        "app.wallet",
        "app.execution.inputs",
        "app.execution.encoded_lists",
        "app.execution.encoded_objects",
        "app.execution.selected",
        "app.api.sdl",
        "app.store.records",
        "app.providers.registry",
    },
}
SEES_EVERYTHING = ("app.main", "app.server.reload", "app.cli", "app.testing")


def modules() -> Iterator[tuple[str, Path]]:
    for folder in ("app", "resolvers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def room_of(module: str) -> str | None:
    rooms = [room for room in MAY_IMPORT if module == room or module.startswith(f"{room}.")]
    return max(rooms, key=len, default=None)


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return {name for name in found if name.split(".")[0] in ("app", "resolvers")}


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_go_one_way(module: str, path: Path) -> None:
    if module == "app" or module.startswith(SEES_EVERYTHING):
        return
    room = room_of(module)
    assert room is not None, f"{module} belongs to no room: name it in the table"
    allowed = MAY_IMPORT[room] | {room, "app.errors", "app.caching"}
    for name in imports_of(path):
        assert any(name == other or name.startswith(f"{other}.") for other in allowed), f"{module} imports {name}"


def test_providers_do_not_import_each_other() -> None:
    for module, path in modules():
        if not module.startswith("app.providers.") or module.count(".") < 3:
            continue
        own = ".".join(module.split(".")[:3])
        for name in imports_of(path):
            if name.startswith("app.providers.") and not name.startswith(own):
                assert (ROOT / Path(*name.split("."))).with_suffix(".py").exists(), f"{module} imports {name}"


def test_the_names_of_the_vaults_need_no_vault() -> None:
    assert imports_of(ROOT / "app" / "providers" / "__init__.py") == {"app.errors"}
    assert imports_of(ROOT / "app" / "vault" / "enums.py") == {"app.providers"}


def test_the_unified_language_knows_no_framework() -> None:
    frameworks = {"strawberry", "aiohttp", "starlette", "sqlalchemy", "graphql", "msgspec"}
    for module, path in modules():
        if module.startswith("app.vault") or module == "app.errors":
            tree = ast.parse(path.read_text("utf-8"))
            names = {
                (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
                for node in ast.walk(tree)
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
            assert not {name.split(".")[0] for name in names} & frameworks, module


def test_the_sandbox_never_uses_the_adapters() -> None:
    for module, path in modules():
        if module.startswith("app.sandbox"):
            assert not any(name.startswith("app.providers") for name in imports_of(path)), module


def test_resolvers_reach_vaults_through_loaders_only() -> None:
    """Other resolvers may look at a vault's capabilities and drop snapshots, but neither calls a vault."""
    for path in (ROOT / "resolvers").rglob("*.py"):
        if path.name == "loaders.py":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Attribute | ast.Name)
            and (node.value.attr if isinstance(node.value, ast.Attribute) else node.value.id) == "reader"
        }
        assert used <= {"providers", "snapshots"}, path.relative_to(ROOT)
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert "WalletReader" not in names or path.name == "context.py", path.relative_to(ROOT)


def test_files_stay_small() -> None:
    for path in [*(ROOT / "app").rglob("*.py"), *(ROOT / "resolvers").rglob("*.py")]:
        assert len(path.read_text("utf-8").splitlines()) <= 500, path.relative_to(ROOT)
