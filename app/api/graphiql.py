"""The GraphiQL page. Its bundle ships with the package; without a bundle it loads from a CDN."""

import json
import shlex
import sys
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from app.api.etag import PATH
from app.api.response import HttpResponse

ASSETS_PATH: Final = "/graphiql"

CDN: Final = "https://unpkg.com"
CDN_FILES: Final[Mapping[str, str]] = {
    path: f"sha384-{digest}"
    for path, digest in (
        ("graphiql@3.9.0/graphiql.min.css", "QMux00XgRtwRLSYIY3kw2rj1ovk5AuuliAchk+HSQbqdbGFnz9GYuqIlOqxhwCE2"),
        (
            "react@18.3.1/umd/react.production.min.js",
            "DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z",
        ),
        (
            "react-dom@18.3.1/umd/react-dom.production.min.js",
            "gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1",
        ),
        ("graphql-ws@5.16.2/umd/graphql-ws.min.js", "+EVxFEOpy8LWPRQcpntm0FKN2O+BzrMNSL0G3HIgVWFmeb6xqZqjuLivrQUTXZKi"),
        ("graphiql@3.9.0/graphiql.min.js", "8NGfVj4CVlqHajlZj+bPJT4thxPMHMJYn7DWK2CvtopLd02E7qsPHazniBYvVjOO"),
    )
}
"""Files of npm packages, in loading order, and the hash that a browser checks (Subresource Integrity).

The CDN serves packages byte for byte. GraphiQL 3 is the last release that publishes such files; the bundle is newer.
"""
_CDN_PAGE: Final = """
const settings = JSON.parse(document.getElementById("vaultgraph-settings").textContent);
const subscriptionUrl = new URL(settings.subscriptionUrl, location.href).href.replace(/^http/, "ws");
const shared = new URLSearchParams(location.search), first = settings.examples[0];
const fetcher = (operation, options) => {
  const wsClient = graphqlWs.createClient({
    url: subscriptionUrl, connectionParams: options?.headers, retryAttempts: 0 });
  return GraphiQL.createFetcher({ url: settings.url, wsClient })(operation, options);
};
ReactDOM.createRoot(document.getElementById("graphiql")).render(React.createElement(GraphiQL, {
  fetcher,
  query: shared.get("query") ?? first.query,
  defaultQuery: first.query,
  variables: shared.get("query") ? shared.get("variables") ?? "" : first.variables,
  headers: settings.token ? JSON.stringify({ Authorization: `Bearer ${settings.token}` }) : "",
  shouldPersistHeaders: false,
}));
"""


def assets_folder() -> Path | None:
    """The folder of the bundle, or None if the package was built without Node.js."""
    folder = Path(str(files("app.api"))) / "assets"
    return folder if (folder / "graphiql.js").is_file() else None


def examples() -> list[dict[str, str]]:
    """The page's tabs: the query and the variables of each, in order."""
    folder = Path(str(files("app.api"))) / "graphiql" / "examples"
    found = []
    for document in sorted(folder.glob("*.graphql")):
        variables = document.with_suffix(".json")
        shown = json.dumps(json.loads(variables.read_text("utf-8")), indent=2) if variables.exists() else ""
        found.append({"query": document.read_text("utf-8"), "variables": shown})
    return found


def token_command(data_dir: Path) -> str:
    """Prints a token for this gateway, from any directory. Shown where a request has no valid token."""
    return shlex.join(
        [str(Path(sys.executable).with_name("vaultgraph")), "token", "--data-dir", str(data_dir.resolve())]
    )


def response(token: str | None, data_dir: Path, *, bundled: bool) -> HttpResponse:
    """The page, as it is served at /graphql."""
    headers = {"content-security-policy": content_security_policy(bundled=bundled), "x-frame-options": "DENY"}
    return HttpResponse(200, page(PATH, token, data_dir, bundled=bundled), "text/html; charset=utf-8", headers)


def page(endpoint: str, token: str | None, data_dir: Path, *, bundled: bool) -> bytes:
    """The HTML of GraphiQL for this endpoint. The token, if any, fills the headers of each tab."""
    settings: dict[str, Any] = {
        "url": endpoint,
        "subscriptionUrl": endpoint,
        "assets": f"{ASSETS_PATH}/",
        "examples": examples(),
        "token": token,
        "tokenCommand": token_command(data_dir),
        "persistHeaders": token is not None,
    }
    block = json.dumps(settings).replace("<", "\\u003c")
    loader = _bundled_loader() if bundled else _cdn_loader()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vaultgraph</title>
<link rel="icon" href="data:,">
<style>body {{ margin: 0 }} #graphiql {{ height: 100dvh }}</style>
<script type="application/json" id="vaultgraph-settings">{block}</script>
</head>
<body>
<div id="graphiql"><p style="font-family: sans-serif; padding: 1em">Loading GraphiQL for {escape(endpoint)} …</p></div>
{loader}
</body>
</html>
""".encode()


def content_security_policy(*, bundled: bool) -> str:
    """Scripts only from this origin (or the CDN and one inline script); the editor's workers and styles need more."""
    origin = "" if bundled else f" {CDN}"
    inline = "" if bundled else f" 'sha256-{b64encode(sha256(_CDN_PAGE.encode()).digest()).decode()}'"
    return (
        f"default-src 'none'; script-src 'self'{origin}{inline}; style-src 'self' 'unsafe-inline'{origin}; "
        f"font-src 'self' data:; img-src 'self' data:; connect-src 'self'; "
        f"worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _bundled_loader() -> str:
    return (
        f'<link rel="stylesheet" href="{ASSETS_PATH}/graphiql.css">\n'
        f'<script type="module" src="{ASSETS_PATH}/graphiql.js"></script>'
    )


def _cdn_loader() -> str:
    """Tags for `CDN_FILES`, with the hashes that browsers check, and the script that starts GraphiQL."""
    tags = []
    for path, integrity in CDN_FILES.items():
        attributes = f'integrity="{integrity}" crossorigin="anonymous"'
        if path.endswith(".css"):
            tags.append(f'<link rel="stylesheet" href="{CDN}/{path}" {attributes}>')
        else:
            tags.append(f'<script src="{CDN}/{path}" {attributes}></script>')
    return "\n".join([*tags, f"<script>{_CDN_PAGE}</script>"])
