// node schema.mjs SCHEMA SUBGRAPH URL TOKEN: reads the schema as tools do: the file by graphql-js with all of its checks,
// the introspection of a gateway, and the subgraph composed with another by a federation composer.
import { readFileSync } from "node:fs";
import { composeServices } from "@theguild/federation-composition";
import {
  buildClientSchema, buildSchema, findBreakingChanges, findDangerousChanges, getIntrospectionQuery, parse, printSchema,
} from "graphql";

const [schemaFile, subgraphFile, url, token] = process.argv.slice(2);
const fromFile = buildSchema(readFileSync(schemaFile, "utf8"));

const query = getIntrospectionQuery({
  descriptions: true, specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true,
  inputValueDeprecation: true, oneOf: true,
});
const reply = await fetch(url, {
  method: "POST",
  headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
  body: JSON.stringify({ query }),
});
const introspected = buildClientSchema((await reply.json()).data);
buildSchema(printSchema(introspected));
const differences = [findBreakingChanges, findDangerousChanges]
  .flatMap((find) => find(introspected, fromFile).map((change) => change.description))
  .filter((text) => !/\b(_|link__)/.test(text) && !/^(key|link) was removed/.test(text));

const other = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])
  type Query { orders: [Order!]! }
  type Order @key(fields: "id") { id: ID! customer: Customer! paidWith: Card }
  type Customer @key(fields: "id", resolvable: false) { id: ID! }
  type Card @key(fields: "id", resolvable: false) { id: ID! }
`);
const composed = composeServices([
  { name: "vaultgraph", url, typeDefs: parse(readFileSync(subgraphFile, "utf8")) },
  { name: "orders", url: "http://orders.example/graphql", typeDefs: other },
]);
console.log(
  JSON.stringify({
    differences,
    compositionErrors: (composed.errors ?? []).map(String),
    joins: /type Customer[^{]*@join__type\(graph: VAULTGRAPH, key: "id"\)/.test(composed.supergraphSdl ?? ""),
  }),
);
