// The Node peers' HTTP client: undici's Pool, the fastest for Node, or the global fetch.
import { Pool } from "undici";

export function makeGet(base, kind, connections) {
  const options = (body) => body === undefined ? { method: "GET" }
    : { method: "PUT", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  if (kind === "fetch") return async (path, body) => (await fetch(base + path, options(body))).json();
  const make = () => new Pool(base, { connections, pipelining: 1, connect: { rejectUnauthorized: true, ca: process.env.BENCH_CA } });
  // One pool per vault, like Vaultgraph, although all four are one host here.
  const pools = { loanpro: make(), aloha: make(), jpmorgan: make(), caselle: make() };
  return async (path, body) => {
    const pool = pools[path.slice(1, path.indexOf("/", 1))];
    return (await pool.request({ path, ...options(body) })).body.json();
  };
}
