// node defer.mjs URL TOKEN CLIENT: as ../clients/defer.mjs, over graphql-ws or graphql-sse, which leave merging to users.
import { createClient as overSocket } from "graphql-ws";
import { createClient as overEvents } from "graphql-sse";
import WebSocket from "ws";

const [url, token, name] = process.argv.slice(2);
const query = `query Wallet($id: ID!) {
  customer(id: $id) {
    name
    fast: paymentMethods(filter: { providers: [ALOHA, JPMORGAN, CASELLE] }) { provider }
    ... @defer(label: "slow") { slow: paymentMethods(filter: { providers: [LOANPRO] }) { provider } }
  }
}`;
const authorization = `Bearer ${token}`;
setTimeout(() => process.exit(3), 60_000).unref();

const client =
  name === "graphql-ws"
    ? overSocket({ url: url.replace("http", "ws"), webSocketImpl: WebSocket, connectionParams: { authorization } })
    : overEvents({ url, headers: { authorization } });

let data;
for await (const part of client.iterate({ query, variables: { id: "cus_alex" } })) {
  data = part.data ?? data;
  for (const { path, data: more } of part.incremental ?? []) {
    Object.assign(path.reduce((place, key) => place[key], data), more);
  }
  const errors = [...(part.errors ?? []), ...(part.incremental ?? []).flatMap((one) => one.errors ?? [])];
  console.log(JSON.stringify({ data, hasNext: part.hasNext, codes: errors.map((one) => one.extensions?.code) }));
}
process.exit(0);
