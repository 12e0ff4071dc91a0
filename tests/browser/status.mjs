// Opens the status page at two sizes, light and dark, and with a token typed in.
// Usage: node status.mjs CHROMIUM URL FOLDER TOKEN; prints one JSON object about what happened.
import { withBrowser } from "./browser.mjs";

const [executablePath, url, folder, token] = process.argv.slice(2);
const origin = new URL(url).origin;
const seen = { errors: [], shown: {} };

seen.elsewhere = await withBrowser(executablePath, [origin], async (context) => {
  const page = context.pages()[0];
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  for (const [width, height, colorScheme] of [[1280, 800, "light"], [1280, 800, "dark"], [390, 844, "light"]]) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme });
    await page.goto(url, { waitUntil: "load" });
    const login = page.locator("#login");
    const first = page.locator("#vaults article").first();
    await page.waitForFunction(() => document.querySelector("#login:not([hidden]), #status:not([hidden])"));
    if (await login.isVisible()) {
      seen.asked = true;
      await page.locator("#token").fill(token);
      await page.locator("#login button").click();
      await first.waitFor({ timeout: 30_000 });
    }
    const name = `status-${width}-${colorScheme}`;
    seen.shown[name] = {
      summary: await page.locator("#summary").innerText(),
      vaults: await page.locator("#vaults article h3").allInnerTexts(),
      charts: await page.locator("svg[role=img]").count(),
      columns: await page.locator("svg rect").count(),
      scrolls: await page.evaluate(() => document.scrollingElement.scrollWidth > innerWidth),
      back: await page.evaluate(() => getComputedStyle(document.body).backgroundColor),
    };
    await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
  }
  seen.links = await page.locator("#links a").allInnerTexts();
  await page.getByRole("link", { name: "Documentation" }).click();
  await page.waitForURL("**/docs/**");
  seen.documentation = await page.locator("body").innerText();
});
console.log(JSON.stringify(seen));
