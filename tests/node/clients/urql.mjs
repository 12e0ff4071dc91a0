// node urql.mjs URL KEY: automatic persisted queries. node urql.mjs URL KEY only: ids and nothing else.
// node urql.mjs --manifest: the map of ids to texts that a build would publish.
import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { Client, fetchExchange, gql, stringifyDocument } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { codesOf, recording, tell } from "./recording.mjs";

const read = (name) => gql(readFileSync(`src/${name}.graphql`, "utf8"));
const wallet = gql`
  ${readFileSync("src/wallet.graphql", "utf8")}
  ${read("method")}
`;
const who = read("who");
const [url, key, only] = process.argv.slice(2);

if (url === "--manifest") {
  const text = stringifyDocument(wallet);
  console.log(JSON.stringify({ [createHash("sha256").update(text).digest("hex")]: text }));
} else {
  const client = () =>
    new Client({
      url,
      fetch: recording,
      fetchOptions: { headers: only ? { "x-api-key": key } : { authorization: `Bearer ${key}` } },
      preferGetMethod: false,
      exchanges: [
        persistedExchange({ preferGetForPersistedQueries: !only, enforcePersistedQueries: Boolean(only) }),
        fetchExchange,
      ],
    });
  const ask = async (document, variables = {}) => {
    const { data, error } = await client().query(document, variables).toPromise();
    return error ? { codes: codesOf(error.graphQLErrors), message: error.message } : { data };
  };
  const first = await ask(wallet, { id: "cus_alex" });
  const second = await ask(wallet, { id: "cus_alex" });
  tell({ first, second, who: await ask(who) });
}
