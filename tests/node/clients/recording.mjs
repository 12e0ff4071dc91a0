// A fetch that notes what each request says of its document, and one line of JSON as a script's whole output.
export const sent = [];

export async function recording(input, init = {}) {
  const url = new URL(input);
  const body = init.body ? JSON.parse(init.body) : Object.fromEntries(url.searchParams);
  const extensions = typeof body.extensions === "string" ? JSON.parse(body.extensions) : body.extensions;
  const reply = await fetch(input, init);
  sent.push({
    method: init.method ?? "GET",
    status: reply.status,
    text: body.query !== undefined,
    id: extensions?.persistedQuery?.sha256Hash ?? body.documentId ?? body.doc_id,
  });
  return reply;
}

export function tell(found) {
  console.log(JSON.stringify({ ...found, sent }));
}

export const codesOf = (errors) => (errors ?? []).map((error) => error.extensions?.code);
