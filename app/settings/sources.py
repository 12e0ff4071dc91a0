"""Reads settings from a TOML file, the environment and secret files, and merges them."""

import logging
import os
import re
import stat
import tomllib
from collections.abc import Collection, Mapping, MutableMapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from app.errors import SettingsError
from app.settings.texts import EnvironmentText

_log = logging.getLogger("vaultgraph.settings")

ENV_PREFIX: Final = "VAULTGRAPH_"
_FILE_SUFFIX: Final = "_file"
_NOT_SETTINGS: Final = frozenset(
    {"VAULTGRAPH_CONFIG", "VAULTGRAPH_TEST_REQUIRE"}
)  # read by the command and by the tests


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file cannot be read: {error.strerror}") from None
    except ValueError as error:
        place = re.search(r" \(at [a-z0-9, ]+\)$", str(error))  # the rest of the message may quote a value
        raise SettingsError(f"the settings file is not valid TOML{place[0] if place else ''}") from None


def variables(environ: Mapping[str, str]) -> list[str]:
    """The variables that are settings, as spelled."""
    return [key for key in environ if key.upper().startswith(ENV_PREFIX) and key.upper() not in _NOT_SETTINGS]


def refuse_unknown_variables(environ: Mapping[str, str], known: Mapping[str, bool]) -> None:
    """`known` maps the names of settings to whether each is a table that accepts any names.

    Raises SettingsError naming each unknown variable with the prefix, and the closest setting.
    """
    faults: list[str] = []
    for key in variables(environ):
        name = key.upper()
        is_known = name in known or name.removesuffix("_FILE") in known
        if is_known or any(is_open and name.startswith(f"{one}__") for one, is_open in known.items()):
            continue
        near = get_close_matches(name.removeprefix(ENV_PREFIX), [one.removeprefix(ENV_PREFIX) for one in known], n=1)
        hint = f", perhaps {ENV_PREFIX}{near[0]} is meant" if near else ""
        faults.append(f"the environment variable {key} is no setting{hint}; only settings may begin with {ENV_PREFIX}")
    if faults:
        raise SettingsError("; ".join(faults))


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """``VAULTGRAPH_STORE__REDIS_URL`` becomes ``{"store": {"redis_url": ...}}``; lists are comma-separated, or their
    items numbered (``VAULTGRAPH_ID_KEY__1``) where the setting holds several secrets.
    """
    found: dict[str, Any] = {}
    for key in variables(environ):
        value = environ[key]
        *sections, name = key[len(ENV_PREFIX) :].lower().split("__")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise SettingsError(f"{section}: is a section, and {ENV_PREFIX}{section.upper()} gives it a value")
        if isinstance(place.get(name), dict):
            raise SettingsError(f"{'.'.join((*sections, name))}: set it, or its parts {key.upper()}__..., not both")
        place[name] = EnvironmentText(value)
    return found


def deep_merge(base: MutableMapping[str, Any], upper: Mapping[str, Any]) -> None:
    """Merge `upper` into `base`. `x` replaces `x_file` and vice versa."""
    for key, value in upper.items():
        if f"{key}{_FILE_SUFFIX}" not in upper:
            base.pop(f"{key}{_FILE_SUFFIX}", None)
        if key.endswith(_FILE_SUFFIX) and key.removesuffix(_FILE_SUFFIX) not in upper:
            base.pop(key.removesuffix(_FILE_SUFFIX), None)
        below = base.get(key)
        if isinstance(value, Mapping) and isinstance(below, MutableMapping):
            deep_merge(below, value)
        else:
            base[key] = dict(value) if isinstance(value, Mapping) else value


def resolve_files(section: MutableMapping[str, Any], path: tuple[str, ...], but: Collection[tuple[str, ...]]) -> None:
    """Replace every ``x_file`` by ``x`` with the file's text, and a list of files by a list of their texts.

    Settings in `but` hold paths themselves; of these, keys must be as private as secrets.
    """
    for key in list(section):
        value = section[key]
        if isinstance(value, MutableMapping):
            resolve_files(value, (*path, key), but)
        elif (*path, key) in but:
            if key.endswith("_key_file") and value:
                _text_of(value, ".".join((*path, key)))
        elif key.endswith(_FILE_SUFFIX) and isinstance(value, str | list):
            name, shown = key.removesuffix(_FILE_SUFFIX), ".".join((*path, key))
            if name in section:
                raise SettingsError(f"{shown}: set it or {name}, not both")
            is_list = isinstance(value, list)
            section[name] = [_text_of(one, shown) for one in value] if is_list else _text_of(value, shown)
            del section[key]


def _text_of(file: object, shown: str) -> str:
    """The text of a secret file without its last line break. Raises SettingsError."""
    if not isinstance(file, str):
        raise SettingsError(f"{shown}: Expected paths")
    try:
        _refuse_if_shared(Path(file), shown)
        return Path(file).read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{shown}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{shown}: the file is not UTF-8 text") from None


def _refuse_if_shared(path: Path, shown: str) -> None:
    """Raises SettingsError if every user of the machine can read a secret; warns if a group can.

    Read-only mounts are exempt: Kubernetes and Docker mount secrets world-readable by default.
    """
    mode = path.stat().st_mode
    if not mode & (stat.S_IROTH | stat.S_IRGRP) or os.statvfs(path).f_flag & os.ST_RDONLY:
        return
    if mode & stat.S_IROTH:
        raise SettingsError(f"{shown}: every user of this machine can read the file: restrict it (chmod 600)")
    _log.warning("%s: the file's group can read it", shown)
