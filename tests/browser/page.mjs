// The page in a real browser: tiles, live events, faults, no sideways scrolling on a phone. Prints what it saw as JSON; with a folder, leaves
// screenshots there. Usage: node page.mjs SERVER_PORT [FOLDER]; a line on standard input makes it look again.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { chromium } = createRequire(`${process.env.BROWSER_MODULES}/`)("playwright-core");
const [port, folder] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const faults = [];
const pages = {};
for (const [name, width, colorScheme] of [["desktop-light", 1280, "light"], ["desktop-dark", 1280, "dark"], ["phone-light", 390, "light"], ["phone-dark", 390, "dark"]]) {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(`http://localhost:${port}/`);
  await page.waitForFunction(() => document.querySelectorAll("#spans .tile").length === 3);
  pages[name] = page;
}
const summary = await browser.newPage({ viewport: { width: 1280, height: 900 } });
const look = async () => {
  const saw = { faults };
  for (const [name, page] of Object.entries(pages)) {
    saw[name] = await page.evaluate(() => ({
      tiles: [...document.querySelectorAll("#spans .figure")].map((figure) => figure.textContent),
      ticker: [...document.querySelectorAll("#ticker tr")].map((row) => [...row.cells].slice(1).map((cell) => cell.textContent).join("|")),
      quotas: [...document.querySelectorAll("#quotas .tile")].map((tile) => [...tile.children].map((child) => child.textContent).filter(Boolean).join("|")),
      notices: [...document.querySelectorAll("#notices .notice")].map((notice) => notice.textContent),
      machines: document.getElementById("machines").textContent,
      notes: [...document.querySelectorAll("#spans .note")].map((note) => note.textContent),
      sessions: document.querySelectorAll("#sessions tbody tr").length,
      sideways: document.documentElement.scrollWidth > document.documentElement.clientWidth,
      state: document.getElementById("state").textContent,
    }));
    if (folder) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
  }
  await summary.goto(`http://localhost:${port}/metrics/summary`);
  if (folder) await summary.screenshot({ path: `${folder}/summary.png`, fullPage: true });
  console.log(JSON.stringify(saw));
};
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "end") break;
  await look();
}
await browser.close();
process.exit(0);
