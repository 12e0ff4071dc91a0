// What a page of another origin can do with a gateway: a query with the headers of tracing tools, a stream that resumes,
// a subscription over WebSocket. Usage: node origins.mjs CHROMIUM GATEWAY TOKEN PAGE...; prints one JSON object, of which
// each page has a member. The pages are empty; a server of this script's is behind all of their addresses.
import { createServer } from "node:http";
import { withBrowser } from "./browser.mjs";

const [executablePath, gateway, token, ...pages] = process.argv.slice(2);
const seen = {};

async function inThePage({ gateway, token }) {
  const tracing = {
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate: "vendor=1",
    baggage: "sentry-environment=test,sentry-trace_id=0af7651916cd43dd8448eb211c80319c",
    "sentry-trace": "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
  };
  const post = (query, more) =>
    fetch(`${gateway}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}`, ...tracing, ...more },
      body: JSON.stringify({ query }),
    });
  const tried = async (work) => {
    try {
      return await work();
    } catch (error) {
      return String(error);
    }
  };
  const query = await tried(async () => {
    const reply = await post('{ customer(id: "cus_alex") { name } }');
    const { data, extensions } = await reply.json();
    return { data, requestIdIsExposed: reply.headers.get("x-request-id") === extensions.requestId };
  });
  const stream = await tried(async () => {
    const subscription = 'subscription { customerEvents(customerId: "cus_alex") { id } }';
    const sent = { accept: "text/event-stream", "last-event-id": "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV" };
    const reply = await post(subscription, sent);
    const first = await reply.body.getReader().read();
    return { type: reply.headers.get("content-type"), first: new TextDecoder().decode(first.value) };
  });
  const socket = await new Promise((resolve) => {
    const opened = new WebSocket(`${gateway.replace("http", "ws")}/graphql`, "graphql-transport-ws");
    opened.onopen = () =>
      opened.send(JSON.stringify({ type: "connection_init", payload: { authorization: `Bearer ${token}` } }));
    opened.onmessage = ({ data }) => resolve(JSON.parse(data).type);
    opened.onclose = ({ code }) => resolve(code);
  });
  return { query, stream, socket };
}

const server = createServer((_, reply) => reply.setHeader("content-type", "text/html").end("<title>app</title>"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const rules = pages.map((page) => {
  const { hostname, port } = new URL(page);
  return `MAP ${hostname}:${port || 80} 127.0.0.1:${server.address().port}`;
});
const visit = async (context) => {
  for (const address of pages) {
    const page = await context.newPage();
    await page.goto(`${address}/`);
    seen[address] = await page.evaluate(inThePage, { gateway, token });
  }
};
await withBrowser(executablePath, null, visit, [`--host-resolver-rules=${rules.join(",")}`]);
server.close();
console.log(JSON.stringify(seen));
process.exit(0);
