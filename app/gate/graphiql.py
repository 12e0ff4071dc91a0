"""The GraphiQL page: its bundle comes with the package; where the bundle was not built, a CDN serves it."""

import json
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

ASSETS_PATH: Final = "/graphiql"
EXAMPLE_QUERY: Final = """# One customer, every vault: Ctrl-Enter runs it.
# `sources` says what could not be read.
query Wallet($id: ID!) {
  customer(id: $id) {
    name
    authStatus
    defaultMethod { label provider }
    defaultMethodInfo { state reason }
    paymentMethods {
      id
      provider
      label
      status
      isDefault
      ... on Card { brand authStatus }
      ... on BankAccount { rail bankName }
    }
    sources { provider state methodCount }
  }
}
"""
EXAMPLE_VARIABLES: Final = '{\n  "id": "cus_alex"\n}\n'

_CDN: Final = "https://esm.sh"
CDN_VERSIONS: Final = {
    "graphiql": "5.4.0",
    "@graphiql/react": "0.39.1",
    "@graphiql/toolkit": "0.11.3",
    "graphql": "16.15.0",
    "react": "19.3.1",
    "react-dom": "19.3.1",
}
"""Those of the bundle's lock file."""
_UNUSED: Final = "@emotion/is-prop-valid"  # asked for by a dependency that can do without it


def assets_folder() -> Path | None:
    """Where the bundle lies, or None where the package was built without Node.js."""
    folder = Path(str(files("app.gate"))) / "assets"
    return folder if (folder / "graphiql.js").is_file() else None


def page(endpoint: str, token: str | None, *, bundled: bool) -> bytes:
    """The HTML of GraphiQL for this endpoint. The token, if any, fills the headers tab of the page."""
    settings: dict[str, Any] = {
        "url": endpoint,
        "subscriptionUrl": endpoint,
        "assets": f"{ASSETS_PATH}/",
        "query": EXAMPLE_QUERY,
        "variables": EXAMPLE_VARIABLES,
        "token": token,
    }
    block = json.dumps(settings).replace("<", "\\u003c")
    loader = _bundled_loader() if bundled else _cdn_loader()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vaultgraph</title>
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
    """Scripts only from us (or the CDN); the editor's workers and styles need blob: and inline styles."""
    origin = "" if bundled else f" {_CDN}"
    script = f"'self'{origin}" + ("" if bundled else " 'unsafe-inline' data:")
    return (
        f"default-src 'none'; script-src {script}; style-src 'self' 'unsafe-inline'{origin}; "
        f"font-src 'self' data:{origin}; img-src 'self' data:; connect-src 'self'{origin}; "
        f"worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _bundled_loader() -> str:
    return (
        f'<link rel="stylesheet" href="{ASSETS_PATH}/graphiql.css">\n'
        f'<script type="module" src="{ASSETS_PATH}/graphiql.js"></script>'
    )


def _cdn_loader() -> str:
    """GraphiQL's own recipe for this CDN: one copy of each shared package, by an import map."""
    return f"""<link rel="stylesheet" href="{_CDN}/graphiql@{CDN_VERSIONS["graphiql"]}/dist/style.css">
<script type="importmap">{json.dumps({"imports": _cdn_imports()})}</script>
<script type="module">
import React from "react";
import {{ createRoot }} from "react-dom/client";
import {{ createGraphiQLFetcher }} from "@graphiql/toolkit";
import {{ GraphiQL }} from "graphiql";
import "graphiql/setup-workers/esm.sh";
const settings = JSON.parse(document.getElementById("vaultgraph-settings").textContent);
createRoot(document.getElementById("graphiql")).render(React.createElement(GraphiQL, {{
  fetcher: createGraphiQLFetcher({{ url: settings.url }}),
  initialQuery: settings.query,
  defaultQuery: settings.query,
  initialVariables: settings.variables,
  initialHeaders: settings.token ? JSON.stringify({{ Authorization: `Bearer ${{settings.token}}` }}) : "",
  shouldPersistHeaders: false,
}}));
</script>"""


def _cdn_imports() -> dict[str, str]:
    at = {name: f"{_CDN}/{name}@{version}" for name, version in CDN_VERSIONS.items()}
    shared = "react,react-dom,graphql"
    return {
        "react": at["react"],
        "react/": f"{at['react']}/",
        "react-dom": at["react-dom"],
        "react-dom/": f"{at['react-dom']}/",
        "graphiql": f"{at['graphiql']}?standalone&external={shared},@graphiql/react",
        "graphiql/": f"{at['graphiql']}/",
        "@graphiql/react": f"{at['@graphiql/react']}?standalone&external={shared},@graphiql/toolkit,{_UNUSED}",
        "@graphiql/toolkit": f"{at['@graphiql/toolkit']}?standalone&external=graphql",
        "graphql": at["graphql"],
        _UNUSED: "data:text/javascript,",
    }
