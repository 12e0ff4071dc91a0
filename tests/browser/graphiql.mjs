// Opens GraphiQL as a person would and runs the example that it shows.
// Usage: node graphiql.mjs CHROMIUM URL SCREENSHOT; prints one JSON object about what happened.
import { answer, editorIsReady, plain, withBrowser } from "./browser.mjs";

const [executablePath, url, screenshot] = process.argv.slice(2);
const origin = new URL(url).origin;
const seen = { failed: [], errors: [], graphql: [] };

async function runTheExample(page) {
  await editorIsReady(page);
  await page.locator("button.graphiql-execute-button").click();
  return answer(page, '"data"|"errors"');
}

seen.elsewhere = await withBrowser(executablePath, [origin], async (context) => {
  const page = context.pages()[0] ?? (await context.newPage());
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  page.on("response", (reply) => reply.status() >= 400 && seen.failed.push(`${reply.status()} ${reply.url()}`));
  page.on("response", (reply) => {
    if (reply.url() === `${origin}/graphql` && reply.request().method() === "POST") seen.graphql.push(reply.status());
  });
  await page.goto(url, { waitUntil: "load" });
  seen.title = await page.title();
  seen.response = await runTheExample(page);
  seen.query = plain(await page.locator(".graphiql-query-editor .view-lines").innerText());
  if (screenshot) await page.screenshot({ path: screenshot });
  await page.reload({ waitUntil: "load" });
  seen.reloaded = await runTheExample(page);
  await page.locator('button[aria-label*="Documentation Explorer"]').first().click();
  await page.locator(".graphiql-doc-explorer").waitFor({ timeout: 30_000 });
  await page.waitForTimeout(500);
  seen.docs = await page.locator(".graphiql-doc-explorer").innerText();
  if (screenshot) await page.screenshot({ path: screenshot.replace(/\.png$/, "-docs.png") });
});
console.log(JSON.stringify(seen));
