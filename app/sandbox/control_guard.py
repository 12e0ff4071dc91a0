"""Access control of the control API: local scripts only, no web pages of other sites.

A page of another site can send requests to localhost (CSRF), and by DNS rebinding read the replies. So the Host must be
a name that no public DNS server resolves, an Origin must be local too, and a body must be JSON.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from app.server.addresses import is_ip_address, is_loopback_host

_LOCAL_ENDS: Final = (".localhost", ".internal", ".local")
_CURL: Final = "application/x-www-form-urlencoded"


class ControlForbidden(Exception):
    """The request may come from a page of another site; the message is shown. `status` is 403, or 415 for a body."""

    def __init__(self, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.status = status


def check(headers: Mapping[str, str]) -> None:
    """Raises Forbidden. `headers` have lower-case names."""
    host = _host_of(f"//{headers.get('host', '')}")
    if not _is_local(host):
        raise ControlForbidden("The control API accepts local host names and addresses only: use localhost.")
    origin = headers.get("origin")
    if origin is not None and not is_loopback_host(_host_of(origin)) and _host_of(origin) != host:
        raise ControlForbidden("Pages of other sites may not use the control API.")
    if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site") and origin is None:
        raise ControlForbidden("Pages of other sites may not use the control API.")
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    # curl -d sends the content type of a form; a browser form also sends Origin.
    is_json = media_type in ("", "application/json") or media_type.endswith("+json")
    if not is_json and not (media_type == _CURL and origin is None):
        raise ControlForbidden("Send application/json.", 415)


def is_loopback_address(url: str) -> bool:
    """True if the URL's host is a loopback address."""
    return is_loopback_host(_host_of(url))


def _is_local(host: str) -> bool:
    """An IP address, or a name that is not in public DNS: localhost, a container's name, or in a reserved domain."""
    return is_ip_address(host) or (bool(host) and ("." not in host or host.endswith(_LOCAL_ENDS)))


def _host_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return ""
