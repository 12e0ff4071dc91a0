// GraphiQL for Vaultgraph: the page's settings come from a JSON block that the gateway writes into the HTML.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
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

const fetcher = createGraphiQLFetcher({
  url: settings.url,
  subscriptionUrl: settings.subscriptionUrl,
  wsConnectionParams: settings.token ? { authorization: `Bearer ${settings.token}` } : {},
});

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
