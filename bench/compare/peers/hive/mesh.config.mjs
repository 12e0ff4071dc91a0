// The five GETs for Mesh's JSON-schema handler. Replies are scalar JSON, so that Hive does no typing.
import { defineConfig } from "@graphql-mesh/compose-cli";
import { loadJSONSchemaSubgraph } from "@omnigraph/json-schema";

const any = { type: "object", additionalProperties: true };
const rows = { type: "array", items: any };
const get = (field, path, responseSchema = any) => ({ type: "Query", field, path, method: "GET", responseSchema });
const profile = "/jpmorgan/api/v2/mmp/consumer-profiles/{args.ref}";

export const composeConfig = defineConfig({
  subgraphs: [
    {
      sourceHandler: loadJSONSchemaSubgraph("vaults", {
        endpoint: process.env.BENCH_VAULTS,
        operations: [
          get("loanpro", "/loanpro/api/public/api/1/odata.svc/Customers()?$filter=id%20eq%20{args.ref}"),
          get("aloha", "/aloha/v1/Customers/{args.ref}/Payments", rows),
          get("jpmorgan", profile),
          get("jpmorganStatus", `${profile}/payment-methods/{args.method}/status`),
          get("caselle", "/caselle/api/customers/{args.ref}/payment-methods", rows),
        ],
      }),
    },
  ],
});
