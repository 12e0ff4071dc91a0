// In GraphiQL: asks for payment methods of a customer, makes one and then another the default while a second page
// subscribes, and subscribes with a token that is refused.
// Usage: node graphiql-subscription.mjs CHROMIUM URL SCREENSHOT
import { answer, editorIsReady, withBrowser } from "./browser.mjs";

const [executablePath, url, screenshot] = process.argv.slice(2);
const seen = { errors: [], sockets: [] };
// One line each: the editor closes brackets by itself where a line ends within them.
const query =
  'query { customer(id: "cus_alex") { events(first: 1) { edges { node { id } } } ' +
  "paymentMethods(filter: {providers: [LOANPRO]}, first: 2) { id } } }";
const subscription = (after) =>
  `subscription { customerEvents(customerId: "cus_alex", types: [DEFAULT_CHANGED], after: "${after}") { type } }`;
const mutation = (method) =>
  `mutation { setDefaultPaymentMethod(input: {customerId: "cus_alex", paymentMethodId: "${method}"}) ` +
  "{ userErrors { code } customer { id } } }";

async function open(context) {
  const page = await context.newPage();
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("websocket", (socket) => seen.sockets.push(socket.url()));
  await page.goto(url, { waitUntil: "load" });
  await editorIsReady(page);
  return page;
}

async function write(page, editor, text) {
  await page.locator(`${editor} .view-lines`).first().click();
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.insertText(text);
  await page.waitForTimeout(300); // GraphiQL reads its editors 150 ms after a change
}

const run = (page) => page.locator("button.graphiql-execute-button").click();

async function ask(page, text) {
  await write(page, ".graphiql-query-editor", text);
  const answered = page.waitForResponse((reply) => reply.request().method() === "POST");
  await run(page);
  return (await answered).json();
}

await withBrowser(executablePath, [new URL(url).origin], async (context) => {
  const writing = await open(context);
  const methods = (await ask(writing, query)).data.customer.paymentMethods;
  await ask(writing, mutation(methods[1].id));
  seen.query = await ask(writing, query);

  seen.shown = await answer(writing, '"data"|"errors"');

  const listening = await open(context);
  // All that happens after this event comes, however late the subscription is.
  const listen = subscription(seen.query.data.customer.events.edges[0].node.id);
  await write(listening, ".graphiql-query-editor", listen);
  await run(listening);

  await writing.bringToFront();
  seen.mutation = await ask(writing, mutation(methods[0].id));
  await listening.bringToFront();
  seen.event = await answer(listening, '"data"|"errors"');
  if (screenshot) await listening.screenshot({ path: screenshot });

  const refused = await open(context);
  refused.removeAllListeners("pageerror"); // GraphiQL's toolkit throws the error that it shows, too
  await write(refused, ".graphiql-query-editor", listen);
  await refused.getByRole("button", { name: "Headers" }).click();
  await write(refused, ".graphiql-editor-tool .graphiql-editor:not(.hidden)", '{"Authorization": "Bearer nobody'); // the editor closes it
  await run(refused);
  seen.refused = await answer(refused, '"data"|"errors"');
  seen.notice = await refused.locator(".vaultgraph-notice").innerText();
  seen.spins = await refused.locator(".graphiql-spinner").count();
  if (screenshot) await refused.screenshot({ path: screenshot.replace(/\.png$/, "-refused.png") });
});
console.log(JSON.stringify(seen));
