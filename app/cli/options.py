"""Options that several commands share."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from app.settings.model import Settings

DEFAULT_DATA_DIR: Final = Path("vaultgraph-data")
SANDBOX_URL: Final = click.option("--sandbox-url", default=None, help="Sandbox URL, in development. [default: dev's]")

_CREATE: Final = "vaultgraph.may_create_store"
_SCOPE: Final = "(?:explore|[a-z_]+:[a-z_]+)"
_SCOPE_WORD: Final = re.compile(f"{_SCOPE}(?:,{_SCOPE})*,?")
_SCOPE_OPTION: Final = "--scope"


@dataclass(frozen=True, slots=True)
class ConfigLocation:
    """Where a command finds its settings and data: `--config` and `--data-dir`."""

    config_file: Path | None = None
    data_dir: Path | None = None

    @property
    def folder(self) -> Path:
        return self.data_dir or DEFAULT_DATA_DIR

    def settings(self) -> "Settings":
        """The settings of `serve`. Raises SettingsError. From now on the process logs as they say."""
        from app.telemetry.logs import configure_logging

        settings = self.load()
        configure_logging(settings.log.level, settings.log.format)
        return settings

    def load(self) -> "Settings":
        """As `settings`, without an effect on the log."""
        from app.settings.model import load_settings

        overrides: dict[str, Any] = {} if self.data_dir is None else {"data_dir": str(self.data_dir)}
        return load_settings(self.config_file, **overrides)


DATA_DIR: Final = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help=f"Directory of the embedded store and the keys of `dev`. [default: ./{DEFAULT_DATA_DIR}]",
)
_CONFIG: Final = click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    envvar="VAULTGRAPH_CONFIG",
    help="TOML settings file; environment variables (VAULTGRAPH_...) override it.",
)


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --config and --data-dir; the command takes them as `source`."""

    @_CONFIG
    @DATA_DIR
    @wraps(command)
    def wrapped(*, config_file: Path | None, data_dir: Path | None, **others: Any) -> None:
        command(source=ConfigLocation(config_file, data_dir), **others)

    return wrapped


def _store_may_be_created(context: click.Context, _option: click.Parameter, is_given: bool) -> None:
    context.meta[_CREATE] = is_given


CREATE: Final = click.option(
    "--create",
    is_flag=True,
    expose_value=False,
    callback=_store_may_be_created,
    help="Create the embedded store if it does not exist.",
)


def may_create() -> bool:
    """True if the running command was called with --create."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_CREATE, False))


class BoundedFloat(click.FloatRange):
    """A number within both bounds; Click's own range lets `nan` pass."""

    def __init__(self, least: float, most: float) -> None:
        super().__init__(min=least, max=most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if isnan(found):
            self.fail(f"it must be a number from {self.min:g} to {self.max:g}", param, ctx)
        return found


HOURS: Final = BoundedFloat(0, 87_600)
"""Up to ten years."""
CALLS_PER_S: Final = BoundedFloat(0.1, 10_000)


class VaultName(click.ParamType[Any]):
    """A registered vault. Registered vaults are looked up on use, so that their errors become one line."""

    name = "vault"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from app.vault.enums import ProviderName

        return click.Choice([name.value for name in ProviderName], case_sensitive=False).convert(value, param, ctx)


SCOPES: Final = click.option(
    _SCOPE_OPTION,
    "scopes",
    multiple=True,
    metavar="SCOPE...",
    help="Repeatable; takes several values, separated by commas or spaces.",
)


class TakesScopes(click.Command):
    """Repeats ``--scope`` before each further value, since Click options take a fixed number of values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _one_by_one(args))


def _one_by_one(args: list[str]) -> list[str]:
    """``--scope a:x b:y NAME`` becomes ``--scope a:x --scope b:y NAME``: only scopes contain a colon."""
    found: list[str] = []
    is_value = are_more = False
    for number, word in enumerate(args):
        if is_value:
            is_value, are_more = False, True
        elif word == "--":
            return [*found, *args[number:]]
        elif are_more and _SCOPE_WORD.fullmatch(word):
            found.append(_SCOPE_OPTION)
        else:
            is_value, are_more = word == _SCOPE_OPTION, word.startswith(f"{_SCOPE_OPTION}=")
        found.append(word)
    return found


def checked_scopes(given: tuple[str, ...]) -> frozenset[str]:
    """The values of `--scope`. Raises click.BadParameter."""
    from app.wallet.caller import ALL_SCOPES

    wanted = frozenset(word for text in given for word in text.replace(",", " ").split())
    if unknown := sorted(wanted - ALL_SCOPES):
        raise click.BadParameter(
            f"there is no scope {', '.join(unknown)}; valid scopes are {', '.join(sorted(ALL_SCOPES))}"
        )
    return wanted
