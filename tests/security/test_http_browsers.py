"""Requests from pages in browsers: CSRF, CORS, host names, media types."""

import pytest

from app.api.compose import origin_policy
from app.api.cors import Cors, OriginPolicy
from app.api.response import HttpResponse
from app.settings.model import Settings, load_settings
from tests.support.asgi import call
from tests.support.small_graph import SmallKeeper, endpoint
from tests.support.small_requests import codes, get, post

EVIL = "https://evil.example"
APP = "https://app.example"


async def test_requests_that_need_no_preflight_are_refused() -> None:
    keeper = SmallKeeper()
    app = endpoint(keeper)
    for headers in (
        {},
        {"origin": EVIL},
        {"cookie": "session=1", "sec-fetch-site": "cross-site"},
        {"authorization": "Basic Z29vZDpnb29k"},
        {"content-type": "text/plain"},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-request-id": "added-by-proxy"},
    ):
        reply = await get("query={hello}", app, headers)
        assert (reply.status, codes(reply)) == (400, ["CSRF_PREVENTED"]), headers
    assert keeper.seen.reads == 0
    for allowed in (
        {"apollo-require-preflight": "1"},
        {"x-apollo-operation-name": "a"},
        {"content-type": "application/json"},
    ):
        assert codes(await get("query={hello}", app, allowed)) == ["UNAUTHENTICATED"]


async def test_cors_allows_only_listed_origins() -> None:
    app = with_cors(OriginPolicy([APP]))
    asked = {"origin": APP, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    preflight = await call(app, "OPTIONS", "/graphql", headers=asked)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == APP
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert preflight.headers["access-control-allow-methods"] == "GET, POST"
    foreign = await call(app, "OPTIONS", "/graphql", headers={**asked, "origin": EVIL})
    assert not [name for name in foreign.headers if name.startswith("access-control")]
    assert (await post({"query": "{hello}"}, app, {"origin": APP})).headers["access-control-allow-origin"] == APP
    for origin in (EVIL, "null", f"{APP}.evil.example", APP.replace("https", "http"), "", "https://app.example:444"):
        reply = await post({"query": "{hello}"}, app, {"origin": origin})
        assert "access-control-allow-origin" not in reply.headers, origin
        assert "origin" in reply.headers["vary"]
    assert "access-control-allow-credentials" not in preflight.headers
    refused = await post(b"{", app, {"origin": APP})
    assert refused.headers["access-control-allow-origin"] == APP  # a page may read the reason


async def test_options_without_an_origin_lists_allowed_methods() -> None:
    reply = await call(endpoint(), "OPTIONS", "/graphql")
    assert (reply.status, reply.headers["allow"], reply.body) == (204, "GET, POST, OPTIONS", b"")
    assert not {"content-length", "content-type", "transfer-encoding"} & set(reply.headers), "RFC 9110, 8.6"


@pytest.mark.parametrize(
    "name",
    [
        "last-event-id", "baggage", "sentry-trace", "traceparent", "tracestate", "b3", "x-datadog-trace-id",
        "apollo-require-preflight", "x-apollo-operation-name", "apollographql-client-name", "graphql-client-version",
        "x-deadline-ms", "x-request-id", "idempotency-key", "x-tenant",
    ],
)  # fmt: skip
async def test_a_preflight_allows_the_headers_of_clients(name: str) -> None:
    app = with_cors(OriginPolicy([APP], headers=["x-tenant"]))
    asked = {"origin": APP, "access-control-request-method": "POST", "access-control-request-headers": name}
    allowed = (await call(app, "OPTIONS", "/graphql", headers=asked)).headers["access-control-allow-headers"]
    assert name in allowed.split(", ")


def with_cors(policy: OriginPolicy) -> Cors:
    return Cors(endpoint(origins=policy), policy)


def settings(**more: object) -> Settings:
    return load_settings(None, {}, {"mode": "development"}, **more)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:5173", "http://127.0.0.1:3000", "https://[::1]:8443", "http://app.localhost:4200",
        "http://localhost", "http://10.0.2.2:8000",
    ],
)  # fmt: skip
async def test_development_allows_pages_of_this_machine(origin: str) -> None:
    app = with_cors(origin_policy(settings()))
    asked = {"host": "localhost:8000", "origin": origin, "access-control-request-method": "POST"}
    preflight = await call(app, "OPTIONS", "/graphql", headers=asked)
    assert preflight.headers["access-control-allow-origin"] == origin
    assert origin_policy(settings()).may_connect({"host": "localhost:8000", "origin": origin})


@pytest.mark.parametrize(
    "origin",
    [
        EVIL, "null", "http://localhost.evil.example", "http://127.0.0.1.nip.io:8000", "http://",
        "http://evil.example:8000/localhost", "http://localhost@evil.example", "http://192.168.1.9",
        "file://localhost",
    ],
)  # fmt: skip
async def test_development_allows_no_other_page(origin: str) -> None:
    for chosen in (settings(), settings(host="0.0.0.0")):
        app = with_cors(origin_policy(chosen))
        reply = await post({"query": "{hello}"}, app, {"host": "localhost:8000", "origin": origin})
        assert "access-control-allow-origin" not in reply.headers
        assert not origin_policy(chosen).may_connect({"host": "localhost:8000", "origin": origin})


async def test_production_allows_only_listed_origins() -> None:
    browser = origin_policy(load_settings(None, {}, gate={"cors_origins": [APP]}))
    assert not browser.may_connect({"host": "localhost:8000", "origin": "http://localhost:5173"})
    assert browser.may_connect({"host": "localhost:8000", "origin": APP})


async def test_development_accepts_local_host_names() -> None:
    app = with_cors(origin_policy(settings()))
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "10.0.2.2:8000", "10.0.3.2:8000", "vg.localhost"):
        assert (await post({"query": "{hello}"}, app, {"host": host})).status == 200, host
    for host in ("evil.example", "10.0.2.2.nip.io", "192.168.1.5:8000", "localhost.evil.example", ""):
        assert (await post({"query": "{hello}"}, app, {"host": host})).status == 403, host


async def test_development_on_other_addresses_accepts_those_but_no_names() -> None:
    app = with_cors(origin_policy(settings(host="0.0.0.0")))
    for host in ("localhost:8000", "192.168.1.5:8000", "10.0.2.2:8000", "[fd00::5]:8000"):
        assert (await post({"query": "{hello}"}, app, {"host": host})).status == 200, host
    for host in ("evil.example", "192.168.1.5.nip.io", ""):
        assert (await post({"query": "{hello}"}, app, {"host": host})).status == 403, host
    reply = await post({"query": "{hello}"}, app, {"host": "192.168.1.5:8000", "origin": "http://192.168.1.5:3000"})
    assert reply.headers["access-control-allow-origin"] == "http://192.168.1.5:3000"


async def test_an_unlisted_host_name_is_refused() -> None:
    page = HttpResponse(200, b"<html>token</html>", "text/html; charset=utf-8")
    app = endpoint(page=page, origins=OriginPolicy(hosts=["localhost", "127.0.0.1", "[::1]"]))
    for host in ("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"):
        reply = await call(app, "GET", "/graphql", headers={"accept": "text/html", "host": host})
        assert reply.body == page.body, host
    for host in ("rebound.evil.example", "localhost.evil.example:8000", "", "127.0.0.1.nip.io"):
        reply = await call(app, "GET", "/graphql", headers={"accept": "text/html", "host": host})
        assert reply.status == 403, host
        assert b"token" not in reply.body
        assert (await post({"query": "{hello}"}, app, {"host": host})).status == 403


async def test_every_response_has_nosniff() -> None:
    for reply in (await post({"query": "{hello}"}), await post(b"{"), await call(endpoint(), "PUT", "/graphql")):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["referrer-policy"] == "no-referrer"


async def test_html_in_a_value_stays_json() -> None:
    reply = await post({"query": "query($n:String!){hello(name:$n)}", "variables": {"n": "<script>alert(1)</script>"}})
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.json()["data"]["hello"] == "hello <script>alert(1)</script>"
