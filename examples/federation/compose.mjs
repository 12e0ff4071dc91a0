// Composes the two subgraphs: node compose.mjs vaultgraph.graphql orders.graphql > supergraph.graphql
// VAULTGRAPH_URL and ORDERS_URL are the addresses that the router calls.
import { readFileSync } from 'node:fs'
import { composeServices } from '@theguild/federation-composition'
import { parse } from 'graphql'

const [vaultgraph, orders] = process.argv.slice(2).map((path) => parse(readFileSync(path, 'utf8')))
const { VAULTGRAPH_URL = 'http://127.0.0.1:8000/graphql', ORDERS_URL = 'http://127.0.0.1:4001/' } = process.env

const result = composeServices([
  { name: 'vaultgraph', url: VAULTGRAPH_URL, typeDefs: vaultgraph },
  { name: 'orders', url: ORDERS_URL, typeDefs: orders },
])
if (result.errors) {
  for (const error of result.errors) console.error(error.message)
  process.exit(1)
}
process.stdout.write(result.supergraphSdl)
