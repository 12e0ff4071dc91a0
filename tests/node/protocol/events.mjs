// A customer's events over graphql-ws and graphql-sse, live, and after a break. Prints one line when both listen.
import { createClient as overSocket } from "graphql-ws";
import { createClient as overEvents } from "graphql-sse";
import WebSocket from "ws";

const [url, token, after] = process.argv.slice(2);
const query = `subscription Events($id: ID!, $after: ID) {
  customerEvents(customerId: $id, after: $after) { id type }
}`;
const variables = { id: "cus_alex", after };
const wanted = 3;
const timeout = setTimeout(() => process.exit(3), 60_000);

const socket = overSocket({
  url: url.replace("http", "ws"),
  webSocketImpl: WebSocket,
  connectionParams: { authorization: `Bearer ${token}` },
  retryAttempts: 0,
});
const events = overEvents({ url, headers: { authorization: `Bearer ${token}` }, retryAttempts: 0 });

let first = 0;
const collect = (client) =>
  new Promise((resolve, reject) => {
    const found = [];
    const stop = client.subscribe({ query, variables }, {
      next: (one) => {
        if (one.errors) return reject(new Error(JSON.stringify(one.errors)));
        found.push(one.data.customerEvents.id);
        if (found.length === 1 && ++first === 2) console.log("LISTENING");
        if (found.length === wanted) {
          stop();
          resolve(found);
        }
      },
      error: reject,
      complete: () => {},
    });
  });

const [bySocket, byEvents] = await Promise.all([collect(socket), collect(events)]);
console.log(JSON.stringify({ bySocket, byEvents }));
clearTimeout(timeout);
await socket.dispose();
process.exit(0);
