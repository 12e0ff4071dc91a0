"""The GraphiQL page: its security headers, and who can load it."""

from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway


def test_the_page_has_security_headers(demo_gateway: RunningGateway) -> None:
    page = demo_gateway.request("GET", "/graphql", headers={"accept": "text/html,*/*;q=0.8"})
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in page.headers


def test_the_page_is_not_served_under_other_host_names(demo_gateway: RunningGateway) -> None:
    """A name that an attacker points at 127.0.0.1 would make the page, with its token, part of the
    attacker's origin.
    """
    page = demo_gateway.request("GET", "/graphql", headers={"accept": "text/html", "host": "rebound.example:8000"})
    assert page.status == 403
    assert b"Bearer" not in page.raw


def test_a_browser_that_opens_a_link_with_a_query_gets_the_page(demo_gateway: RunningGateway) -> None:
    """The page shows the query. It runs only when the user runs it."""
    link = "/graphql?query={viewer{partner}}"
    shown = demo_gateway.request("GET", link, headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (shown.status, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"viewer" not in shown.raw.split(b"</script>")[-1]
    executed = demo_gateway.request("GET", link, headers={"accept": "application/json"})
    assert executed.data == {"viewer": {"partner": "developer"}}


def test_origins_come_from_settings(start_gateway: StartGateway) -> None:
    app = "https://app.example"
    gateway = start_gateway(gate={"cors_origins": [app]})
    assert gateway.query("{viewer{partner}}", headers={"origin": app}).headers["access-control-allow-origin"] == app
    foreign = gateway.query("{viewer{partner}}", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
