"""What pages in a browser may ask, and what they must not make of an answer: CSRF, CORS, host names, media types."""

from app.gate.answers import Answer
from app.gate.browser import Browser
from tests.support.asgi import call
from tests.support.small_graph import SmallKeeper, endpoint
from tests.support.small_requests import codes, get, post

EVIL = "https://evil.example"
APP = "https://app.example"


async def test_what_a_foreign_page_could_send_unasked_is_refused() -> None:
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


async def test_cors_permits_listed_origins_alone() -> None:
    app = endpoint(browser=Browser([APP]))
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
    assert refused.headers["access-control-allow-origin"] == APP  # a page may read why


async def test_options_without_an_origin_says_what_is_allowed() -> None:
    reply = await call(endpoint(), "OPTIONS", "/graphql")
    assert (reply.status, reply.headers["allow"], reply.body) == (204, "GET, POST, OPTIONS", b"")


async def test_a_foreign_host_name_is_not_served_where_names_are_listed() -> None:
    page = Answer(200, b"<html>token</html>", "text/html; charset=utf-8")
    app = endpoint(page=page, browser=Browser(hosts=["localhost", "127.0.0.1", "[::1]"]))
    for host in ("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"):
        reply = await call(app, "GET", "/graphql", headers={"accept": "text/html", "host": host})
        assert reply.body == page.body, host
    for host in ("rebound.evil.example", "localhost.evil.example:8000", "", "127.0.0.1.nip.io"):
        reply = await call(app, "GET", "/graphql", headers={"accept": "text/html", "host": host})
        assert reply.status == 403, host
        assert b"token" not in reply.body
        assert (await post({"query": "{hello}"}, app, {"host": host})).status == 403


async def test_every_answer_forbids_guessing_its_type() -> None:
    for reply in (await post({"query": "{hello}"}), await post(b"{"), await call(endpoint(), "PUT", "/graphql")):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["referrer-policy"] == "no-referrer"


async def test_html_in_a_value_stays_json() -> None:
    reply = await post({"query": "query($n:String!){hello(name:$n)}", "variables": {"n": "<script>alert(1)</script>"}})
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.json()["data"]["hello"] == "hello <script>alert(1)</script>"
