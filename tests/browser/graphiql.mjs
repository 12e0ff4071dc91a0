// Opens GraphiQL as a person would and runs the example that it shows.
// Usage: node graphiql.mjs CHROMIUM URL SCREENSHOT; prints one JSON object about what happened.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [executablePath, url, screenshot] = process.argv.slice(2);
const origin = new URL(url).origin;
const profile = await mkdtemp(join(tmpdir(), "vaultgraph-browser-"));
const seen = { elsewhere: [], failed: [], errors: [], graphql: [] };

const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  viewport: { width: 1280, height: 800 },
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

const plain = (text) => text.replaceAll("\u00a0", " ");

// Wait for the editor, for introspection and for the answer, and say what it is.
async function runTheExample(page) {
  const run = page.locator("button.graphiql-execute-button");
  await run.waitFor({ timeout: 30_000 });
  await page.locator(".graphiql-query-editor .view-line").first().waitFor({ timeout: 30_000 });
  await page.waitForFunction(() => !document.querySelector(".graphiql-spinner"), null, { timeout: 30_000 });
  await run.click();
  await page.waitForFunction(
    () => /"data"|"errors"/.test(document.querySelector(".result-window .view-lines")?.innerText ?? ""),
    null,
    { timeout: 30_000 },
  );
  await page.waitForTimeout(500);
  return plain(await page.locator(".result-window .view-lines").innerText());
}

try {
  // Nothing beyond the gateway can be reached; what tries is written down.
  await context.route("**/*", (route) => {
    const address = route.request().url();
    if (address.startsWith(origin) || /^(data|blob):/.test(address)) return route.continue();
    seen.elsewhere.push(address);
    return route.abort();
  });
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
} finally {
  await context.close();
  await rm(profile, { recursive: true, force: true });
}
console.log(JSON.stringify(seen));
