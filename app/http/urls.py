"""URLs of vault calls: checked base URLs and paths, encoded queries."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from app.errors import FieldFault, InvalidRequest, SettingsError

PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_()-]+(?:[./][A-Za-z0-9_()-]+)*").fullmatch
"""Matches a path without dot segments that needs no other check."""
_QUERY_SAFE: Final = "$,/:@()"  # OData's `$filter` and lists: every server accepts these unencoded, some require it
_ONLY_BLANKS_ENCODED: Final = re.compile(r"[A-Za-z0-9_.~$,/:@()&= -]*").fullmatch


def encoded_query(query: Sequence[tuple[str, str]]) -> str:
    text = "&".join(map("=".join, query))
    if _ONLY_BLANKS_ENCODED(text) and text.count("=") == len(query) == text.count("&") + 1:
        return text.replace(" ", "%20")
    return "&".join([f"{quote(name, safe=_QUERY_SAFE)}={quote(value, safe=_QUERY_SAFE)}" for name, value in query])


def checked_base(name: str, base_url: str) -> str:
    """The base URL, ending in a slash."""
    try:
        parts = urlsplit(base_url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # invalid port, or brackets that are not IPv6
        is_usable = False
    if not is_usable:
        raise SettingsError(f"{name}.base_url is not an http(s) URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(f"{name}.base_url must not contain credentials, a query or a fragment")
    return base_url.rstrip("/") + "/"


def checked_proxy(name: str, proxy: str) -> str | None:
    """The URL of the vault's proxy, None if there is none."""
    if not proxy:
        return None
    try:
        parts = urlsplit(proxy)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or "@" in proxy or parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingsError(f"{name}.proxy is not the http(s) URL of a proxy, without credentials and path")
    return proxy


def checked_path(name: str, path: str) -> str:
    """`path`, unchanged; raises `InvalidRequest` if any server could resolve it outside the base URL."""
    if "?" in path or "#" in path or "\\" in path or path.startswith("/") or _has_dot_segments(path):
        raise InvalidRequest(name, [FieldFault((), "INVALID_INPUT", "A value cannot be part of a path.")])
    return path


def _has_dot_segments(path: str) -> bool:
    if "." not in path and "%" not in path:
        return False
    return any(part.lower().replace("%2e", ".") in (".", "..") for part in path.split("/"))
