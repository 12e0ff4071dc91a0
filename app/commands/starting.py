"""What can be wrong with the machine when a command starts, said in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.errors import SettingsError
from app.store.errors import StoreUnavailable


def usable_folder(folder: Path) -> Path:
    """The data directory, made where it is missing; raises SettingsError when it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error.strerror) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unusable(folder, "Permission denied")
    return folder


@contextmanager
def opening_the_store() -> Iterator[None]:
    """A store that cannot be opened is one line: its driver's own words would show address and user."""
    try:
        yield
    except (OSError, SQLAlchemyError, StoreUnavailable) as error:
        origin = getattr(error, "orig", None) or error
        cause = error.cause if isinstance(error, StoreUnavailable) else type(origin).__name__
        raise SettingsError(
            f"the store cannot be opened ({cause}): check store.url or the data directory, and whether "
            "`vaultgraph migrate` has run"
        ) from None


def _unusable(folder: Path, reason: str | None) -> SettingsError:
    return SettingsError(f"the data directory {folder} cannot be used ({reason}); choose another with --data-dir")
