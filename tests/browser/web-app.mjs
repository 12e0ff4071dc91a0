// Uses examples/web as a customer would, at the width given.
// Usage: node web-app.mjs CHROMIUM URL SANDBOX CARD_NUMBER WIDTH FOLDER; prints one JSON object about what happened.
import { withBrowser } from "./browser.mjs";

const [executablePath, url, sandbox, number, width, folder] = process.argv.slice(2);
const seen = { errors: [], bodies: [] };
const fault = (body) =>
  fetch(`${sandbox}/__sandbox/faults`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
const clear = () => fetch(`${sandbox}/__sandbox/faults`, { method: "DELETE" });

await withBrowser(executablePath, null, async (context) => {
  const page = context.pages()[0];
  await page.setViewportSize({ width: Number(width), height: 844 });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => request.url().includes("/graphql") && seen.bodies.push(request.postData() ?? ""));
  const rows = page.locator(".methods li");
  const defaultRow = () => page.locator(".methods li", { has: page.locator(".badge") }).locator(".label").innerText();
  const said = (text) => page.locator("[role=status], [role=alert]", { hasText: text }).first().waitFor({ timeout: 30_000 });

  await page.goto(url);
  await rows.nth(8).waitFor({ timeout: 60_000 });
  seen.shown = { methods: await rows.count(), default: await defaultRow() };
  await page.screenshot({ path: `${folder}/web-wallet-${width}.png` });

  // The badge moves before the reply: the request is held until the page has shown it.
  let isShown;
  const shown = new Promise((resolve) => { isShown = resolve; });
  await page.route(/\/graphql$/, async (route) => {
    if (route.request().postData()?.includes("mutation SetDefault")) await shown;
    await route.continue();
  });
  const card = rows.filter({ hasText: "Visa ending 4242" }).filter({ hasText: "CASELLE" });
  await card.getByRole("button", { name: "Make default" }).click();
  await card.locator(".badge").waitFor({ timeout: 30_000 });
  seen.optimistic = await page.locator("[role=status]", { hasText: "as default" }).count();
  isShown();
  await said("as default: done.");
  seen.chosen = await defaultRow();
  await page.unroute(/\/graphql$/);

  await page.getByRole("button", { name: "Add a card" }).click();
  const form = page.frameLocator("iframe");
  await form.locator("input[name=number]").fill(number);
  await form.locator("input[name=exp_month]").fill("5");
  await form.locator("input[name=exp_year]").fill("2031");
  await form.locator("input[name=holder_name]").fill("Alex Morales");
  await form.locator("button").click();
  await said("Adding Visa ending 4242: done.");
  await rows.nth(9).waitFor({ timeout: 30_000 });

  const added = rows.filter({ hasText: "Visa ending 4242" }).filter({ hasText: "LOANPRO" });
  await added.getByRole("button", { name: "Delete" }).click();
  await page.screenshot({ path: `${folder}/web-delete-${width}.png` });
  seen.question = await page.locator("dialog p").innerText();
  await page.getByRole("button", { name: "Keep it" }).click();
  seen.kept = await rows.count();
  await added.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete it" }).click();
  await said("Deleting");
  await page.waitForFunction(() => document.querySelectorAll(".methods li").length === 9);

  await page.getByRole("button", { name: "Show the total" }).click();
  const pay = page.getByRole("button", { name: /^Pay \d/ });
  await pay.waitFor({ timeout: 30_000 });
  seen.total = await pay.innerText();
  await pay.click();
  await said("Paid. Thank you.");

  await fault({ provider: "loanpro", kind: "status", status: 503 });
  await page.reload();
  await said("Some methods could not be read");
  seen.partial = await page.locator("[role=alert]").first().innerText();
  await page.screenshot({ path: `${folder}/web-partial-${width}.png` });
  await clear();

  // The vault does not answer a write in time: nobody knows yet whether it was done.
  await page.getByRole("button", { name: "Try again" }).click();
  await page.locator("[role=alert]").waitFor({ state: "detached", timeout: 30_000 });
  await fault({ provider: "caselle", kind: "hang", method: "DELETE" });
  const lost = rows.filter({ hasText: "Checking account ending 1156" });
  await lost.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete it" }).click();
  await said("it is not known yet whether it was done");
  await page.screenshot({ path: `${folder}/web-unknown-${width}.png` });
  await clear();
  seen.decided = await page.locator("[role=status], [role=alert]", { hasText: /Deleting .*: (not )?done\./ }).first()
    .innerText({ timeout: 60_000 });
  seen.scrolls = await page.evaluate(() => document.scrollingElement.scrollWidth > innerWidth);
  console.log("READY");

  // Somebody else changes the default: the page hears of it.
  await page.locator(".methods li", { hasText: "Visa ending 4242" }).locator(".badge").waitFor({ state: "detached", timeout: 30_000 });
  await page.locator(".badge").waitFor({ timeout: 30_000 });
});
seen.sentNumber = seen.bodies.some((body) => body.includes(number));
delete seen.bodies;
console.log(JSON.stringify(seen));
