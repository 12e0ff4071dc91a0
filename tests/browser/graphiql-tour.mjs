// Uses GraphiQL as a newcomer would: examples, explorer, a shared link, a token that has expired, a phone.
// Usage: node graphiql-tour.mjs CHROMIUM URL FOLDER; prints one JSON object about what happened.
import { answer, editorIsReady, plain, withBrowser } from "./browser.mjs";

const [executablePath, url, folder] = process.argv.slice(2);
const origin = new URL(url).origin;
const seen = { errors: [] };
const DATA = '"data"|"errors"';

async function run(page) {
  await editorIsReady(page);
  await page.locator("button.graphiql-execute-button").click();
  return answer(page, DATA);
}

seen.elsewhere = await withBrowser(executablePath, [origin], async (context) => {
  const page = context.pages()[0];
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  await page.goto(url, { waitUntil: "load" });
  seen.first = await run(page);
  seen.tabs = await page.locator("li.graphiql-tab button.graphiql-tab-button").allInnerTexts();
  await page.screenshot({ path: `${folder}/graphiql-1280.png` });

  await page.locator('button[aria-label*="GraphiQL Explorer"]').click();
  await page.locator(".graphiql-explorer-root").waitFor({ timeout: 30_000 });
  seen.explorer = await page.locator(".graphiql-explorer-root").first().innerText();
  await page.screenshot({ path: `${folder}/graphiql-explorer-1280.png` });
  await page.locator('button[aria-label*="GraphiQL Explorer"]').click();

  await page.locator("li.graphiql-tab", { hasText: "Default" }).first().click();
  await page.locator('button[aria-label="Copy link to this query"]').click();
  await page.waitForFunction(() => location.search.includes("query="));
  seen.link = page.url();
  const other = await context.newPage();
  await other.goto(seen.link, { waitUntil: "load" });
  seen.shared = await run(other);
  seen.sharedQuery = plain(await other.locator(".graphiql-query-editor .view-lines").innerText());
  await other.close();

  // The gateway was reset: the page has a new token, the stored tabs have the old one.
  await page.evaluate(() => {
    const token = localStorage.getItem("vaultgraph:token");
    const tabs = localStorage.getItem("graphiql:tabState");
    localStorage.setItem("graphiql:tabState", tabs.replaceAll(token, "an.old.token"));
    localStorage.setItem("vaultgraph:token", "an.old.token");
  });
  await page.goto(url, { waitUntil: "load" });
  seen.renewed = await run(page);
  seen.notices = await page.locator(".vaultgraph-notice").count();

  await page.locator("button", { hasText: "Headers" }).click();
  await page.locator(".graphiql-editor-tool .graphiql-editor:not(.hidden) .view-lines").click();
  await page.keyboard.press("Control+A");
  await page.keyboard.press("Delete");
  await page.waitForTimeout(500);
  await page.locator("button.graphiql-execute-button").click();
  await page.locator(".vaultgraph-notice").waitFor({ timeout: 30_000 });
  seen.notice = await page.locator(".vaultgraph-notice").innerText();
  await page.screenshot({ path: `${folder}/graphiql-no-token-1280.png` });

  const phone = await context.newPage();
  await phone.setViewportSize({ width: 390, height: 844 });
  await phone.goto(`${url}?${new URLSearchParams({ query: "{ viewer { partner } }" })}`, { waitUntil: "load" });
  seen.phone = await run(phone);
  seen.fits = await phone.evaluate(() => {
    const response = document.querySelector(".graphiql-response").getBoundingClientRect();
    const button = document.querySelector(".graphiql-execute-button").getBoundingClientRect();
    return {
      scrolls: document.scrollingElement.scrollWidth > 390,
      response: response.width > 300 && response.height > 200,
      button: button.right <= 390,
    };
  });
  await phone.screenshot({ path: `${folder}/graphiql-390.png` });
  for (const panel of ["Documentation Explorer", "GraphiQL Explorer"]) {
    await phone.locator(`button[aria-label="Show ${panel}"]`).click();
    await phone.locator('.graphiql-plugin:not([style*="absolute"])').waitFor();
    await phone.screenshot({ path: `${folder}/graphiql-${panel.split(" ")[0].toLowerCase()}-390.png` });
    await phone.locator(`button[aria-label="Hide ${panel}"]`).click({ timeout: 30_000 });
  }

  const deferred = '{ customer(id: "cus_alex") { name ... @defer { paymentMethods { label } } } }';
  await phone.goto(`${url}?${new URLSearchParams({ query: deferred })}`, { waitUntil: "load" });
  await editorIsReady(phone);
  await phone.locator("button.graphiql-execute-button").click();
  seen.deferred = await answer(phone, '"paymentMethods"');
});
console.log(JSON.stringify(seen));
