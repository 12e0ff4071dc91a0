// node codegen-client.mjs URL KEY: the typed documents of the client preset, which carry the ids they were published by.
import { createJiti } from "jiti";
import { codesOf, recording, tell } from "./recording.mjs";

const { WalletDocument, WhoDocument } = await createJiti(import.meta.url).import("./out/gql/graphql.ts");
const [url, key] = process.argv.slice(2);

async function ask(document, variables = {}) {
  const reply = await recording(url, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": key },
    body: JSON.stringify({ documentId: document.__meta__.hash, variables }),
  });
  const { data, errors } = await reply.json();
  return errors ? { codes: codesOf(errors) } : { data };
}

tell({ first: await ask(WalletDocument, { id: "cus_alex" }), who: await ask(WhoDocument) });
