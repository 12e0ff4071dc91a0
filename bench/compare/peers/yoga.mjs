import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createSchema, createYoga } from "graphql-yoga";
import { makeContext, resolvers, typeDefs } from "./wallet.mjs";
import { makeGet } from "./upstream.mjs";

if (process.env.BENCH_CA_FILE) process.env.BENCH_CA = readFileSync(process.env.BENCH_CA_FILE, "utf8");
const get = makeGet(process.env.BENCH_VAULTS, process.env.BENCH_CLIENT ?? "pool", Number(process.env.BENCH_CONNECTIONS ?? 64));
const yoga = createYoga({ schema: createSchema({ typeDefs, resolvers }), context: () => makeContext(get), logging: false });
createServer(yoga).listen(Number(process.env.BENCH_PORT), "127.0.0.1");
