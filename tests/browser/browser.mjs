// A headless Chromium with a profile of its own, for one script.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const plain = (text) => text.replaceAll("\u00a0", " ");

// Calls `work` with a browser context, in which nothing but `origins` can be reached, and closes it.
// Returns the addresses that pages asked for in vain. `origins` null leaves requests to the browser alone: where they
// are looked at, Playwright answers CORS preflights itself. `more` are further arguments of Chromium.
export async function withBrowser(executablePath, origins, work, more = []) {
  const profile = await mkdtemp(join(tmpdir(), "vaultgraph-browser-"));
  const elsewhere = [];
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
      ...more,
    ],
  });
  try {
    const filter = (route) => {
      const address = route.request().url();
      if (origins.some((origin) => address.startsWith(origin)) || /^(data|blob):/.test(address)) return route.continue();
      elsewhere.push(address);
      return route.abort();
    };
    if (origins !== null) await context.route("**/*", filter);
    await work(context);
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
  return elsewhere;
}

// Waits for GraphiQL's editor and its introspection.
export async function editorIsReady(page) {
  await page.locator("button.graphiql-execute-button").waitFor({ timeout: 30_000 });
  await page.locator(".graphiql-query-editor .view-line").first().waitFor({ timeout: 30_000 });
  await page.waitForFunction(() => !document.querySelector(".graphiql-spinner"), null, { timeout: 30_000 });
}

// Waits until GraphiQL's answer matches the pattern, and returns it.
export async function answer(page, pattern) {
  await page.waitForFunction(
    (source) => new RegExp(source).test(document.querySelector(".result-window .view-lines")?.innerText ?? ""),
    pattern,
    { timeout: 30_000 },
  );
  await page.waitForTimeout(500);
  return plain(await page.locator(".result-window .view-lines").innerText());
}
