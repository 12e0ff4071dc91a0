import { defineConfig } from '@graphql-hive/gateway'

export const gatewayConfig = defineConfig({
  supergraph: './supergraph.graphql',
  // Vaultgraph checks the caller's own token. Without this line it answers UNAUTHENTICATED.
  propagateHeaders: {
    fromClientToSubgraphs: ({ request }) => {
      const authorization = request.headers.get('authorization')
      return authorization ? { authorization } : {}
    },
  },
  // Vaultgraph's error messages are written for clients and contain no secrets.
  maskedErrors: false,
})
