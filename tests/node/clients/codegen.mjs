/** @type {import("@graphql-codegen/cli").CodegenConfig} */
export default {
  schema: "schema.graphql",
  documents: ["src/**/*.graphql"],
  generates: {
    "out/gql/": {
      preset: "client",
      presetConfig: { persistedDocuments: { hashAlgorithm: "sha256" } },
      config: { documentMode: "string" },
    },
  },
};
