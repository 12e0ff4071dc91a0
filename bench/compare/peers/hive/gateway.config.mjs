// The wallet on top of the composed vaults: merged and mapped as for the other Node peers.
import { defineConfig } from "@graphql-hive/gateway";
import { makeContext, resolvers, typeDefs } from "../wallet.mjs";

// The handler returns each vault's JSON in a separate field.
const vaultsOf = (context, info) => {
  const ask = (field) => (ref, method) =>
    context.vaults.Query[field]({ root: {}, args: { ref: String(ref), ...(method && { method }) }, context, info });
  return Object.fromEntries(["loanpro", "aloha", "jpmorgan", "jpmorganStatus", "caselle"].map((name) => [name, ask(name)]));
};
const loaderOf = (context, info) => makeContext(null, vaultsOf(context, info)).loader;

export const gatewayConfig = defineConfig({
  supergraph: "./supergraph.graphql",
  additionalTypeDefs: typeDefs.replace(/type Mutation .*/, "").replace("type Query", "extend type Query"),
  additionalResolvers: {
    Customer: resolvers.Customer,
    PaymentMethod: resolvers.PaymentMethod,
    Query: {
      customer: (_root, { id }, context, info) => loaderOf(context, info).load(id),
      nodes: (_root, { ids }, context, info) => loaderOf(context, info).loadMany(ids),
    },
  },
  logging: "error",
  landingPage: false,
  graphiql: false,
});
