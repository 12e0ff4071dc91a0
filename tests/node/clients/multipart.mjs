// node multipart.mjs URL TOKEN AFTER COUNT: a customer's events in parts (multipart/mixed), by the clients that speak it.
// Prints one line when both listen, then what each heard.
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { createClient, fetchExchange } from "@urql/core";

const [uri, token, after, count] = process.argv.slice(2);
const query = `subscription Events($id: ID!, $after: ID) {
  customerEvents(customerId: $id, after: $after) { id type }
}`;
const variables = { id: "cus_alex", after };
const headers = { authorization: `Bearer ${token}` };
const types = new Set();
const watched = async (...asked) => {
  const reply = await fetch(...asked);
  types.add(reply.headers.get("content-type"));
  return reply;
};
setTimeout(() => process.exit(3), 60_000).unref();

let first = 0;
const collect = (begin) =>
  new Promise((resolve, reject) => {
    const found = [];
    let over = () => {};
    over = begin((one) => {
      const failed = one.error ?? one.errors;
      if (failed) return reject(new Error(JSON.stringify(failed)));
      found.push(one.data.customerEvents.id);
      if (found.length === 1 && ++first === 2) console.log("LISTENING");
      if (found.length === Number(count)) {
        resolve(found);
        setTimeout(over);
      }
    }, reject);
  });

const apollo = new ApolloClient({
  link: new HttpLink({ uri, fetch: watched, headers }),
  cache: new InMemoryCache(),
});
const urql = createClient({
  url: uri,
  fetch: watched,
  fetchOptions: { headers },
  exchanges: [fetchExchange],
  fetchSubscriptions: true,
  preferGetMethod: false,
});

const [byApollo, byUrql] = await Promise.all([
  collect((next, error) => {
    const listening = apollo.subscribe({ query: gql(query), variables }).subscribe({ next, error });
    return () => listening.unsubscribe();
  }),
  collect((next) => urql.subscription(query, variables).subscribe(next).unsubscribe),
]);
console.log(JSON.stringify({ byApollo, byUrql, types: [...types] }));
process.exit(0);
