// Runs published documents at Vaultgraph by id, without sending their text.
import { readFileSync } from "node:fs";

const manifest = JSON.parse(readFileSync(new URL("persisted-query-manifest.json", import.meta.url), "utf8"));
const ids = new Map(manifest.operations.map(({ name, id }) => [name, id]));

/** Runs one operation of the manifest; throws where the gateway refuses it or nothing could be answered. */
export async function run(operation, variables) {
  const { ACME_URL: url = "http://127.0.0.1:8000/graphql", ACME_KEY: key } = process.env;
  if (!key) throw new Error("set ACME_KEY to the key that `vaultgraph partner add` printed");
  const reply = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": key },
    body: JSON.stringify({ documentId: ids.get(operation), operationName: operation, variables }),
  });
  const { data, errors } = await reply.json();
  if (!data) throw new Error(errors.map(({ message, extensions }) => `${extensions?.code}: ${message}`).join("\n"));
  return { data, errors: errors ?? [] };
}
