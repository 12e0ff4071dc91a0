// node defer.mjs URL TOKEN CLIENT: a wallet whose slow vault is deferred. Prints one line for each state that the client
// shows: the data so far, whether more follows, and the errors; and the response's media type first.
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { Defer20220824Handler, GraphQL17Alpha9Handler } from "@apollo/client/incremental";
import { createClient, fetchExchange } from "@urql/core";

const [uri, token, name] = process.argv.slice(2);
const query = `query Wallet($id: ID!) {
  customer(id: $id) {
    name
    fast: paymentMethods(filter: { providers: [ALOHA, JPMORGAN, CASELLE] }) { provider }
    ... @defer(label: "slow") { slow: paymentMethods(filter: { providers: [LOANPRO] }) { provider } }
  }
}`;
const variables = { id: "cus_alex" };
const headers = { authorization: `Bearer ${token}` };
const watched = async (...asked) => {
  const reply = await fetch(...asked);
  console.log(JSON.stringify({ type: reply.headers.get("content-type") }));
  return reply;
};
const tell = (data, hasNext, errors = []) =>
  console.log(JSON.stringify({ data, hasNext, codes: errors.map((error) => error.extensions?.code) }));
setTimeout(() => process.exit(3), 60_000).unref();

const apollo = (incrementalHandler) =>
  new Promise((resolve, reject) => {
    const client = new ApolloClient({
      link: new HttpLink({ uri, fetch: watched, headers }),
      cache: new InMemoryCache({ possibleTypes: { PaymentMethod: ["BankAccount", "Card", "OtherMethod"] } }),
      incrementalHandler,
    });
    client.watchQuery({ query: gql(query), variables, errorPolicy: "all" }).subscribe({
      next({ data, dataState, error, loading }) {
        if (dataState === "empty" && loading) return;
        tell(data, dataState === "streaming", error?.errors);
        if (dataState !== "streaming") resolve();
      },
      error: reject,
    });
  });

const urql = () =>
  new Promise((resolve) => {
    const client = createClient({ url: uri, fetch: watched, fetchOptions: { headers }, exchanges: [fetchExchange], preferGetMethod: false });
    client.query(query, variables).subscribe(({ data, hasNext, error }) => {
      tell(data, hasNext, error?.graphQLErrors);
      if (!hasNext) resolve();
    });
  });

await {
  "apollo": () => apollo(new Defer20220824Handler()),
  "apollo by id": () => apollo(new GraphQL17Alpha9Handler()),
  urql,
}[name]();
process.exit(0);
