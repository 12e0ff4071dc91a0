// node relay.mjs URL KEY: what relay-compiler made, run by relay-runtime.
import relay from "relay-runtime";
import wallet from "./relay/__generated__/walletQuery.graphql.js";
import { codesOf, recording, tell } from "./recording.mjs";

const { Environment, Network, RecordSource, Store, fetchQuery } = relay;
const [url, key] = process.argv.slice(2);
const replies = [];

async function ask(params, variables) {
  const reply = await recording(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ doc_id: params.id, operationName: params.name, variables }),
  });
  const body = await reply.json();
  replies.push(codesOf(body.errors));
  return body;
}

const environment = new Environment({ network: Network.create(ask), store: new Store(new RecordSource()) });
const first = await fetchQuery(environment, wallet, { id: "cus_alex" })
  .toPromise()
  .then((data) => ({ data }), () => ({ codes: replies.at(-1) }));
tell({ first, text: wallet.params.text, id: wallet.params.id });
