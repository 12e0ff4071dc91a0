"""`GET /` and `GET /status.json`."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol

from prometheus_client.metrics_core import Metric
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.api.cors import HostChecked, OriginPolicy
from app.api.disconnect import DisconnectWatch
from app.api.limits.limiter import EXPLORE
from app.api.problems import RequestRefused
from app.api.protocols import Door, RequestPolicy
from app.api.request_record import RequestRecord
from app.api.response import HttpResponse, encode
from app.api.status.history import StatusHistory

_PAGE: Final = "/"
_DATA: Final = "/status.json"
_FILES: Final = "/status"
_DOCUMENTATION: Final = "/docs"
_CLONE: Final = Path(__file__).resolve().parents[3]
_SITES: Final = ((_CLONE / "build" / "site", "index.html"), (_CLONE / "docs", "index.md"))
"""The documentation, best first: the site that `make site` builds, or its sources, which a browser shows as text."""
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Families(Protocol):
    """The metrics of this process, or of all workers."""

    def families(self) -> Iterable[Metric]: ...


class StatusPages:
    """The page holds no data: it reads `/status.json`, which needs the scope `explore`."""

    def __init__(
        self,
        metrics: Families,
        refresh: Callable[[], Awaitable[None]],
        vaults: Mapping[str, str],
        *,
        token: str | None,
        is_development: bool,
    ) -> None:
        """`vaults`: display names by name. `refresh` updates the metrics that come from the store. `token`, in
        development only, is put into the page; otherwise the page asks for one.
        """
        self.history = StatusHistory(metrics.families, vaults)
        self._refresh = refresh
        links = {"GraphiQL": "/graphql", "Metrics": "/metrics"} if is_development else {}
        found = next((one for one in _SITES if is_development and Path(*one).is_file()), None)
        self._documentation = None if found is None else found[0]
        if found is not None:
            links["Documentation"] = f"{_DOCUMENTATION}/{found[1]}"
        self._folder = Path(str(files("app.api.status"))) / "page"
        settings = json.dumps({"token": token, "links": links}).replace("<", "\\u003c")
        page = (self._folder / "index.html").read_text("utf-8").replace("{{settings}}", settings)
        headers = {"content-security-policy": _CSP, "x-frame-options": "DENY"}
        self._page = HttpResponse(200, page.encode(), "text/html; charset=utf-8", headers)

    def routes(self, origins: OriginPolicy) -> list[BaseRoute]:
        """Static files, under the host names of everything else."""
        routes: list[BaseRoute] = [Mount(_FILES, HostChecked(StaticFiles(directory=self._folder), origins))]
        if self._documentation is not None:
            documentation = StaticFiles(directory=self._documentation, html=True)
            routes.append(Mount(_DOCUMENTATION, HostChecked(documentation, origins)))
        return routes

    def doors(self, policy: RequestPolicy) -> dict[str, Door]:
        """The page too: its token is not for a page of another name that resolves to this address."""

        async def page(
            scope: Scope, watch: DisconnectWatch, headers: Mapping[str, str], record: RequestRecord
        ) -> HttpResponse:
            _require_get(scope)
            return self._page

        async def data(
            scope: Scope, watch: DisconnectWatch, headers: Mapping[str, str], record: RequestRecord
        ) -> HttpResponse:
            _require_get(scope)
            record.caller = caller = await policy.authenticate(headers)
            policy.charge(caller)
            if EXPLORE not in caller.scopes:
                raise RequestRefused("FORBIDDEN", "The status needs the scope explore.")
            await self._refresh()
            report: Any = self.history.report()
            return HttpResponse(200, encode(report))

        return {_PAGE: page, _DATA: data}


def _require_get(scope: Scope) -> None:
    if scope["method"] not in ("GET", "HEAD"):
        raise RequestRefused("METHOD_NOT_ALLOWED", headers={"allow": "GET, HEAD, OPTIONS"})
