// A query and a mutation-free round trip over graphql-ws and graphql-sse, as an application would use them.
import { createClient as overSocket } from "graphql-ws";
import { createClient as overEvents } from "graphql-sse";
import WebSocket from "ws";

const [url, token] = process.argv.slice(2);
const operation = {
  query: 'query Who($id: ID!) { viewer { partner } customer(id: $id) { name } }',
  variables: { id: "cus_alex" },
};

const collect = (client, payload) =>
  new Promise((resolve, reject) => {
    const found = [];
    client.subscribe(payload, { next: (one) => found.push(one), error: reject, complete: () => resolve(found) });
  });

const asError = async (promise) => {
  try {
    return { found: await promise };
  } catch (error) {
    if (Array.isArray(error)) return { errors: error.map((one) => one.extensions?.code) };
    return { code: error.code ?? null, message: String(error.message ?? error) };
  }
};

const socket = (payload) =>
  overSocket({
    url: url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    connectionParams: payload,
    retryAttempts: 0,
    lazyCloseTimeout: 0,
  });

const good = socket({ authorization: `Bearer ${token}` });
const bad = socket({ authorization: "Bearer nobody" });
const events = overEvents({ url, headers: { authorization: `Bearer ${token}` }, retryAttempts: 0 });

const report = {
  socket: await asError(collect(good, operation)),
  socketManyAtOnce: (await Promise.all(Array.from({ length: 20 }, () => collect(good, operation)))).length,
  socketInvalid: await asError(collect(good, { query: "{ nothing }" })),
  socketRefused: await asError(collect(bad, operation)),
  events: await asError(collect(events, operation)),
  eventsInvalid: await asError(collect(events, { query: "{ nothing }" })),
};
await good.dispose();
console.log(JSON.stringify(report));
process.exit(0);
