// node apollo.mjs URL KEY [MANIFEST]: by a manifest's ids, or by automatic persisted queries where there is none.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { generatePersistedQueryIdsFromManifest } from "@apollo/persisted-query-lists";
import { codesOf, recording, tell } from "./recording.mjs";

const [uri, key, manifest] = process.argv.slice(2);
const read = (...names) => gql(names.map((name) => readFileSync(`src/${name}.graphql`, "utf8")).join("\n"));
const wallet = read("wallet", "method");
const whoAmI = read("who");

const possibleTypes = { PaymentMethod: ["BankAccount", "Card", "OtherMethod"] };

function client() {
  const persisted = manifest
    ? new PersistedQueryLink(
        generatePersistedQueryIdsFromManifest({
          loadManifest: async () => JSON.parse(readFileSync(manifest, "utf8")),
        }),
      )
    : new PersistedQueryLink({
        sha256: (text) => createHash("sha256").update(text).digest("hex"),
        useGETForHashedQueries: true,
      });
  const http = new HttpLink({ uri, fetch: recording, headers: { authorization: `Bearer ${key}` } });
  return new ApolloClient({ link: ApolloLink.from([persisted, http]), cache: new InMemoryCache({ possibleTypes }) });
}

async function ask(query, variables = {}) {
  try {
    const { data } = await client().query({ query, variables });
    return { data };
  } catch (error) {
    return { codes: codesOf(error.errors), name: error.name, message: error.message };
  }
}

const first = await ask(wallet, { id: "cus_alex" });
const second = await ask(wallet, { id: "cus_alex" });
const who = await ask(whoAmI);
tell({ first, second, who });
