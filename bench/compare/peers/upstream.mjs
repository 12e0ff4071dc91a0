// How the Node peers reach the vaults: undici's Pool, the fastest that Node has, or the global fetch.
import { Pool } from "undici";

export function makeGet(base, kind, connections) {
  if (kind === "fetch") return async (path) => (await fetch(base + path)).json();
  const make = () => new Pool(base, { connections, pipelining: 1, connect: { rejectUnauthorized: true, ca: process.env.BENCH_CA } });
  // A pool for each vault, as Vaultgraph has, though here all four are one host.
  const pools = { loanpro: make(), aloha: make(), jpmorgan: make(), caselle: make() };
  return async (path) => (await pools[path.slice(1, path.indexOf("/", 1))].request({ path, method: "GET" })).body.json();
}
