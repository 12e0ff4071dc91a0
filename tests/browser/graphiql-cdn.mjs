// Opens GraphiQL's fallback page, with the CDN's answers taken from a folder, and runs the example that it shows.
// Usage: node graphiql-cdn.mjs CHROMIUM URL SCREENSHOT CDN FOLDER TAMPERED; prints one JSON object about what happened.
import { readFile } from "node:fs/promises";
import { plain, withBrowser } from "./browser.mjs";

const [executablePath, url, screenshot, cdn, folder, tampered] = process.argv.slice(2);
const seen = { files: [], errors: [] };
const origin = new URL(url).origin;

seen.elsewhere = await withBrowser(executablePath, [origin], async (context) => {
  await context.route(`${cdn}/**`, async (route) => {
    const path = route.request().url().slice(cdn.length + 1);
    seen.files.push(path);
    const body = await readFile(`${folder}/${path}`, "utf-8");
    const contentType = path.endsWith(".css") ? "text/css" : "text/javascript";
    await route.fulfill({
      body: path === tampered ? `${body}\n/* changed */` : body,
      contentType,
      headers: { "access-control-allow-origin": "*" },
    });
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  await page.goto(url, { waitUntil: "load" });
  if (tampered) return;
  await page.locator("button.graphiql-execute-button").waitFor({ timeout: 30_000 });
  await page.locator("button.graphiql-execute-button").click();
  await page.waitForFunction(
    () => /"data"|"errors"/.test(document.querySelector(".result-window")?.innerText ?? ""),
    null,
    { timeout: 30_000 },
  );
  seen.response = plain(await page.locator(".result-window").innerText());
  await page.screenshot({ path: screenshot });
});
console.log(JSON.stringify(seen));
