// A real browser that a test drives: one JSON order a line on standard input, one JSON answer a line. Usage: node driver.mjs SERVER_PORT
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";

const require = createRequire(`${process.env.BROWSER_MODULES}/`);
const { chromium } = require("playwright-core");
const origin = `http://localhost:${process.argv[2]}`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
/** Errors and warnings of the console, and requests that left the origin. */
const faults = [];
const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" });
page.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(`${message.type()}: ${message.text()}`));
page.on("pageerror", (error) => faults.push(String(error)));
page.on("request", (request) => request.url().startsWith(`${origin}/`) || request.url().startsWith("blob:") || faults.push(`asked ${request.url()}`));

/** Questions to the API that wait for their answers. */
const asked = new Set();
page.on("request", (request) => /\/api\/v1\/(?!live)/.test(request.url()) && asked.add(request));
for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => asked.delete(request));

/** Until what is shown is no placeholder, and all that was asked is answered and drawn. */
async function settled() {
  const end = Date.now() + 15_000;
  do {
    await page.waitForFunction(() => document.querySelector("main") && !document.querySelector("main [aria-busy=true]"), null, { timeout: 15_000 });
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  } while (asked.size > 0 && Date.now() < end);
}

/** What a reader sees, by its headings and names. */
const see = () => page.evaluate(() => {
  const text = (element) => (element?.textContent ?? "").replace(/\s+/g, " ").trim();
  const figures = {};
  for (const figure of document.querySelectorAll(".figure")) {
    const value = figure.querySelector(".value");
    figures[text(figure.querySelector("h2"))] = { value: text(value), exact: value?.title ?? "", notes: [...figure.querySelectorAll(".note")].map(text) };
  }
  return {
    address: location.pathname + location.search,
    title: document.title,
    heading: text(document.querySelector("h1")),
    text: text(document.querySelector("main")),
    figures,
    chips: [...document.querySelectorAll(".chips li")].map(text),
    ticker: [...document.querySelectorAll("[aria-label='Live events'] tr")].map((row) => [...row.cells].slice(1).map(text).join("|")),
    notices: [...document.querySelectorAll(".notice")].map(text),
    rows: [...document.querySelectorAll("main [data-row]")].map(text),
    alerts: [...document.querySelectorAll("[role=alert]")].map(text),
    sideways: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  };
});

const orders = {
  open: async ({ path }) => { await page.goto(origin + path); await settled(); return see(); },
  see: async () => { await settled(); return see(); },
  /** By its role and accessible name, or by CSS. */
  click: async ({ role, name, css }) => { await (css ? page.locator(css).first() : page.getByRole(role, { name, exact: false }).first()).click(); await settled(); return see(); },
  fill: async ({ css, text }) => { await page.fill(css, text); await settled(); return see(); },
  choose: async ({ css, value }) => { await page.selectOption(css, value); await settled(); return see(); },
  press: async ({ key }) => { await page.keyboard.press(key); await settled(); return see(); },
  /** Drags over an element, from and to in shares of its width. */
  drag: async ({ css, from, to }) => {
    const box = await page.locator(css).first().boundingBox();
    await page.mouse.move(box.x + box.width * from, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * to, box.y + box.height / 2, { steps: 4 });
    await page.mouse.up();
    await settled();
    return see();
  },
  back: async () => { await page.goBack(); await settled(); return see(); },
  reload: async () => { await page.reload(); await settled(); return see(); },
  look: async ({ width, scheme }) => { await page.setViewportSize({ width, height: 900 }); await page.emulateMedia({ colorScheme: scheme }); await settled(); return see(); },
  /** Violations of accessibility rules: rule, and the first element. */
  axe: async () => {
    await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
    return page.evaluate(async () => (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.length} × ${nodes[0].html.slice(0, 200)} ${nodes[0].failureSummary.slice(0, 300)}`));
  },
  count: ({ css }) => page.locator(css).count(),
  evaluate: ({ script }) => page.evaluate(script),
  picture: async ({ file }) => { await page.screenshot({ path: file }); return null; },
  faults: () => faults.splice(0),
};

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  try {
    console.log(JSON.stringify({ saw: await orders[order.do](order) }));
  } catch (error) {
    console.log(JSON.stringify({ error: `${line}: ${error}` }));
  }
}
await browser.close();
process.exit(0);
