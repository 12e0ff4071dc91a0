// How the Node peers reach the vaults: undici's Pool, the fastest that Node has, or the global fetch.
import { Pool } from "undici";

export function makeGet(base, kind, connections) {
  if (kind === "fetch") return async (path) => (await fetch(base + path)).json();
  const pool = new Pool(base, { connections, pipelining: 1, connect: { rejectUnauthorized: true, ca: process.env.BENCH_CA } });
  return async (path) => (await pool.request({ path, method: "GET" })).body.json();
}
