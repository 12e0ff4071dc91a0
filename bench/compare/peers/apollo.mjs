import { readFileSync } from "node:fs";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { makeContext, resolvers, typeDefs } from "./wallet.mjs";
import { makeGet } from "./upstream.mjs";

if (process.env.BENCH_CA_FILE) process.env.BENCH_CA = readFileSync(process.env.BENCH_CA_FILE, "utf8");
const get = makeGet(process.env.BENCH_VAULTS, "pool", Number(process.env.BENCH_CONNECTIONS ?? 64));
const server = new ApolloServer({ typeDefs, resolvers, csrfPrevention: false });
await startStandaloneServer(server, {
  listen: { port: Number(process.env.BENCH_PORT), host: "127.0.0.1" },
  context: async () => makeContext(get),
});
