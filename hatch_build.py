"""Bundles GraphiQL while the package is built or installed, so that the page needs no network beyond the gateway.

Without npm, or where npm fails, the package is built all the same: the gateway then serves the page from a CDN and
says so when it starts.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCES = ("package.json", "package-lock.json", "page.jsx", "page.css", "build.mjs")


class GraphiQLBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        source = Path(self.root, "app", "api", "graphiql")
        target = Path(self.root, "app", "api", "assets")
        if self.target_name != "wheel" or _is_current(source, target):
            return
        npm, node = shutil.which("npm"), shutil.which("node")
        if npm is None or node is None:
            self.app.display_warning("GraphiQL is not bundled: no Node.js here. The page will come from a CDN.")
            return
        try:
            _bundle(npm, node, source, target)
        except (OSError, subprocess.SubprocessError) as error:
            reason = type(error).__name__
            self.app.display_warning(f"GraphiQL is not bundled ({reason}). The page will come from a CDN.")


def _is_current(source: Path, target: Path) -> bool:
    """The bundle remembers the sources it was made of."""
    stamp = target / "sources"
    return stamp.is_file() and stamp.read_text("utf-8") == _fingerprint(source)


def _fingerprint(source: Path) -> str:
    return "\0".join((source / name).read_text("utf-8") for name in _SOURCES)


def _bundle(npm: str, node: str, source: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in _SOURCES:
            shutil.copy(source / name, folder)
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder)
        made = Path(folder, "made")
        _run([node, "build.mjs", str(made)], folder)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)
        (target / "sources").write_text(_fingerprint(source), "utf-8")


def _run(command: list[str], folder: str) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(command, cwd=folder, check=True, timeout=600, stdout=quiet, stderr=quiet)  # noqa: S603 - npm and node
