// GraphiQL for Vaultgraph: the page's settings come from a JSON block that the gateway writes into the HTML.
import { explorerPlugin } from "@graphiql/plugin-explorer";
import { ToolbarButton, useGraphiQL } from "@graphiql/react";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { createClient } from "graphql-ws";
import { useState } from "react";
import { createRoot } from "react-dom/client";
import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./page.css";

const settings = JSON.parse(document.getElementById("vaultgraph-settings").textContent);
const base = new URL(settings.assets, location.href);

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const name = label === "json" ? "json" : label === "graphql" ? "graphql" : "editor";
    return new Worker(new URL(`${name}.worker.js`, base), { type: "module" });
  },
};

const subscriptionUrl = new URL(settings.subscriptionUrl, location.href).href.replace(/^http/, "ws");
const headers = settings.token ? JSON.stringify({ Authorization: `Bearer ${settings.token}` }, null, 2) : "";

// Tabs of an earlier visit hold the token that the page had then: the gateway may have a new key since.
const REMEMBERED = "vaultgraph:token";
const before = localStorage.getItem(REMEMBERED);
if (settings.token && before !== settings.token) {
  for (const key of ["graphiql:tabState", "graphiql:headers"]) {
    const stored = before && localStorage.getItem(key);
    if (stored) localStorage.setItem(key, stored.replaceAll(before, settings.token));
  }
  localStorage.setItem(REMEMBERED, settings.token);
}

const CREDENTIALS_REFUSED = 4403; // the close code of graphql-transport-ws

// A client for each operation, which connects only for a subscription: with the headers of the page's own tab, as
// every other operation. It does not try again, so that a connection that is refused or lost shows as an error.
function fetcherThat(tells) {
  const note = (part) => tells(part.errors?.some((error) => error.extensions?.code === "UNAUTHENTICATED") ?? false);
  return async (operation, options) => {
    const on = { closed: ({ code }) => code === CREDENTIALS_REFUSED && tells(true) };
    const wsClient = createClient({ url: subscriptionUrl, connectionParams: options?.headers, retryAttempts: 0, on });
    const result = await createGraphiQLFetcher({ url: settings.url, wsClient })(operation, options);
    return Symbol.asyncIterator in result ? noted(result, note) : (note(result), result);
  };
}

async function* noted(parts, note) {
  for await (const part of parts) {
    for (const one of [part].flat()) note(one);
    yield part;
  }
}

// The address that opens the tab's query and variables. Headers are not in it.
function CopyLink() {
  const [isDone, setDone] = useState(false);
  const { queryEditor, variableEditor } = useGraphiQL(({ queryEditor, variableEditor }) => ({ queryEditor, variableEditor }));
  const copy = async () => {
    const link = new URL(location.pathname, location.href);
    link.searchParams.set("query", queryEditor?.getValue() ?? "");
    const variables = variableEditor?.getValue() ?? "";
    if (variables.trim()) link.searchParams.set("variables", variables);
    history.replaceState(null, "", link);
    await navigator.clipboard?.writeText(link.href);
    setDone(true);
    setTimeout(() => setDone(false), 2_000);
  };
  return (
    <ToolbarButton label={isDone ? "Link copied" : "Copy link to this query"} onClick={copy}>
      <svg viewBox="0 0 24 24" className="graphiql-toolbar-icon" aria-hidden="true">
        <path d="M10 14a4 4 0 0 0 6 0l3-3a4 4 0 1 0-6-6l-1 1m2 4a4 4 0 0 0-6 0l-3 3a4 4 0 1 0 6 6l1-1"
          fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" />
      </svg>
    </ToolbarButton>
  );
}

function NoToken() {
  return (
    <p className="vaultgraph-notice" role="alert">
      The token is missing, or it has expired. {settings.token ? "Reload this page for a new one, or run " : "Run "}
      <code>{settings.tokenCommand}</code> and put it into the tab Headers:{" "}
      <code>{'{"Authorization": "Bearer TOKEN"}'}</code>
    </p>
  );
}

const plugins = [HISTORY_PLUGIN, explorerPlugin()];
const tabs = settings.examples.map((example) => ({ ...example, headers }));

// What the page opens with: a shared link, otherwise the tab of the last visit, otherwise the first example.
const shared = new URLSearchParams(location.search);
const stored = JSON.parse(localStorage.getItem("graphiql:tabState") ?? "null");
const start = shared.has("query")
  ? { query: shared.get("query"), variables: shared.get("variables") ?? "", headers }
  : (stored?.tabs[stored.activeTabIndex] ?? tabs[0]);

function Page() {
  const [isRefused, setRefused] = useState(false);
  const [fetcher] = useState(() => fetcherThat(setRefused));
  return (
    <>
      {isRefused && <NoToken />}
      <GraphiQL
        fetcher={fetcher}
        plugins={plugins}
        defaultTabs={tabs}
        initialQuery={start.query ?? ""}
        initialVariables={start.variables ?? ""}
        initialHeaders={start.headers ?? headers}
        defaultHeaders={headers}
        defaultEditorToolsVisibility="variables"
        shouldPersistHeaders={settings.persistHeaders}
      >
        <GraphiQL.Toolbar>
          {({ prettify, merge, copy }) => (
            <>
              {prettify}
              {merge}
              {copy}
              <CopyLink />
            </>
          )}
        </GraphiQL.Toolbar>
      </GraphiQL>
    </>
  );
}

createRoot(document.getElementById("graphiql")).render(<Page />);
