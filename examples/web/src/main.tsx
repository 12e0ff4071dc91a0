import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, type InMemoryCacheConfig } from '@apollo/client'
import { SetContextLink } from '@apollo/client/link/context'
import { GraphQLWsLink } from '@apollo/client/link/subscriptions'
import { ApolloProvider } from '@apollo/client/react'
import { OperationTypeNode } from 'graphql'
import { createClient } from 'graphql-ws'
import { createRoot } from 'react-dom/client'
import options from './apollo.json'
import { Wallet } from './Wallet'
import './style.css'

const url: string = import.meta.env.VITE_VAULTGRAPH_URL ?? 'http://127.0.0.1:8000/graphql'

// A token lives for minutes in production: ask the backend again after one.
let token: Promise<string> | undefined
async function authorization() {
  if (!token) {
    token = fetch('/token').then((reply) => reply.text())
    setTimeout(() => (token = undefined), 60_000)
  }
  return { authorization: `Bearer ${await token}` }
}

const http = new SetContextLink(async () => ({ headers: await authorization() })).concat(new HttpLink({ uri: url }))
const socket = new GraphQLWsLink(
  createClient({ url: url.replace(/^http/, 'ws'), connectionParams: authorization, shouldRetry: () => true }),
)

const client = new ApolloClient({
  link: ApolloLink.split(({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION, socket, http),
  cache: new InMemoryCache(options as InMemoryCacheConfig),
})

createRoot(document.getElementById('root')!).render(
  <ApolloProvider client={client}>
    <Wallet customerId="cus_alex" />
  </ApolloProvider>,
)
