// GraphiQL for Vaultgraph: the page's settings come from a JSON block that the gateway writes into the HTML.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createClient } from "graphql-ws";
import { createRoot } from "react-dom/client";
import "graphiql/style.css";

const settings = JSON.parse(document.getElementById("vaultgraph-settings").textContent);
const base = new URL(settings.assets, location.href);

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const name = label === "json" ? "json" : label === "graphql" ? "graphql" : "editor";
    return new Worker(new URL(`${name}.worker.js`, base), { type: "module" });
  },
};

const subscriptionUrl = new URL(settings.subscriptionUrl, location.href).href.replace(/^http/, "ws");

// A client for each operation, which connects only for a subscription: with the headers of the page's own tab, as
// every other operation. It does not try again, so that a connection that is refused or lost shows as an error.
const fetcher = (operation, options) => {
  const wsClient = createClient({ url: subscriptionUrl, connectionParams: options?.headers, retryAttempts: 0 });
  return createGraphiQLFetcher({ url: settings.url, wsClient })(operation, options);
};

const headers = settings.token ? JSON.stringify({ Authorization: `Bearer ${settings.token}` }, null, 2) : "";

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    initialQuery={settings.query}
    defaultQuery={settings.query}
    initialVariables={settings.variables}
    initialHeaders={headers}
    shouldPersistHeaders={false}
  />,
);
