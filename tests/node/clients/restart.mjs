// node restart.mjs URL TOKEN COUNT: as tests/node/protocol/restart.mjs, over multipart, by Apollo Client with its RetryLink.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { RetryLink } from "@apollo/client/link/retry";
import { listen } from "../protocol/subscriber.mjs";

const [uri, token, count] = process.argv.slice(2);
const client = new ApolloClient({
  link: ApolloLink.from([
    new RetryLink({ delay: { initial: 200, max: 200, jitter: false }, attempts: { max: 100 } }),
    new HttpLink({ uri, headers: { authorization: `Bearer ${token}` } }),
  ]),
  cache: new InMemoryCache(),
});

await listen(Number(count), {
  byApollo: ({ query, variables }, sink) => client.subscribe({ query: gql(query), variables }).subscribe(sink),
});
