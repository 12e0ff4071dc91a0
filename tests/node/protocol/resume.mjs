// node resume.mjs URL TOKEN: a customer's events by an EventSource that is given its own fetch, as web apps do to send a
// POST and a token. Prints LISTENING after the first event; its next connection waits for a line on the input. It
// knows no `after`: what it missed comes by Last-Event-ID. Prints the ids that it heard, with how often it connected.
import { EventSource } from "eventsource";

const [url, token] = process.argv.slice(2);
const query = `subscription Events($id: ID!) { customerEvents(customerId: $id) { id type } }`;
const body = JSON.stringify({ query, variables: { id: "cus_alex" } });
const wanted = 3;
const resumed = new Promise((resolve) => process.stdin.once("data", resolve));
const heard = [];
const sent = []; // the Last-Event-ID of each connection
setTimeout(() => process.exit(3), 90_000).unref();

const source = new EventSource(url, {
  fetch: async (input, init) => {
    if (sent.length > 0) await resumed;
    sent.push(init.headers["Last-Event-ID"] ?? null);
    const headers = { ...init.headers, "content-type": "application/json", authorization: `Bearer ${token}` };
    return fetch(input, { ...init, method: "POST", headers, body });
  },
});
source.addEventListener("next", ({ data }) => {
  heard.push(JSON.parse(data).data.customerEvents.id);
  if (heard.length === 1) console.log("LISTENING");
  if (heard.length === wanted) {
    console.log(JSON.stringify({ heard, sent }));
    process.exit(0);
  }
});
source.addEventListener("complete", () => {
  console.error("complete: it will not come back");
  process.exit(4);
});
