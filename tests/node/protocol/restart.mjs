// node restart.mjs URL TOKEN COUNT: a customer's events over graphql-ws and graphql-sse, with both clients' own retries.
// Prints READY once all listen, then what each heard. A server that ends its streams for good is never asked again.
import { createClient as overSocket } from "graphql-ws";
import { createClient as overEvents } from "graphql-sse";
import WebSocket from "ws";
import { listen } from "./subscriber.mjs";

const [url, token, count] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const retryWait = () => new Promise((resolve) => setTimeout(resolve, 200));
const options = { retryAttempts: 100, retryWait };
const socket = overSocket({
  url: url.replace("http", "ws"), webSocketImpl: WebSocket, connectionParams: { authorization }, ...options,
  shouldRetry: () => true, // as its documentation says: without it a refused connection is not tried again
});
const events = overEvents({ url, headers: { authorization }, retry: retryWait, ...options });

await listen(Number(count), {
  bySocket: (request, sink) => socket.subscribe(request, sink),
  byEvents: (request, sink) => events.subscribe(request, sink),
});
