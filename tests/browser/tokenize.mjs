// Uses the example shop as a shopper would: a card through LoanPro's form, then a payment on Caselle's page.
// Usage: node tokenize.mjs CHROMIUM URL CARD_NUMBER SCREENSHOT; prints one JSON object about what was seen and sent.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [executablePath, url, number, screenshot] = process.argv.slice(2);
const shop = new URL(url).origin;
const profile = await mkdtemp(join(tmpdir(), "vaultgraph-browser-"));
const seen = { errors: [], toTheShop: [] };

const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

try {
  const page = context.pages()[0] ?? (await context.newPage());
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => {
    if (request.url().startsWith(shop)) seen.toTheShop.push(request.postData() ?? "");
  });
  await page.goto(url);
  await page.click("#open");
  const form = page.frameLocator("iframe");
  await form.locator("input[name=number]").fill(number);
  await form.locator("input[name=exp_month]").fill("5");
  await form.locator("input[name=exp_year]").fill("2031");
  await form.locator("input[name=holder_name]").fill("Alex Morales");
  await form.locator("button").click();
  await page.waitForFunction(() => document.getElementById("added").textContent !== "", null, { timeout: 30_000 });
  seen.added = await page.textContent("#added");
  await page.screenshot({ path: screenshot });
  await page.click("#pay");
  await page.waitForURL(/\/caselle\/checkout\//, { timeout: 30_000 });
  seen.checkout = new URL(page.url()).pathname;
} finally {
  await context.close();
  await rm(profile, { recursive: true, force: true });
}
console.log(JSON.stringify(seen));
