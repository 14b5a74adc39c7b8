// How fast the page is over a large ledger: first paint, until every figure stands, long tasks while scrolling and zooming, weight, and each
// question that a view asks of the API, asked again and again. Usage: node bench.mjs SERVER_PORT [TIMES]
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.BROWSER_MODULES}/`)("playwright-core");
const [port, times = "40"] = process.argv.slice(2);
const origin = `http://localhost:${port}`;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });

const rows = (await (await fetch(`${origin}/api/v1/sessions?limit=1&sort=requests`)).json()).rows;
const views = await (async () => {
  const page = await browser.newPage();
  await page.goto(origin);
  await page.waitForSelector("nav a");
  const paths = await page.$$eval("nav a:not(.brand)", (links) => links.map((link) => link.pathname));
  await page.close();
  return [...paths, `/sessions/${encodeURIComponent(rows[0].session)}`];
})();

const quantile = (values, share) => values.toSorted((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * share))];
const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`.padStart(9);

/** Opens a view anew; what it weighed, asked and how long it took. */
async function visit(path, act) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const asked = [];
  let waiting = 0;
  let weight = 0;
  page.on("request", (request) => /\/api\/v1\/(?!live)/.test(request.url()) && (asked.push(request.url()), (waiting += 1)));
  for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => /\/api\/v1\/(?!live)/.test(request.url()) && (waiting -= 1));
  page.on("response", async (response) => {
    const sizes = await response.request().sizes().catch(() => null);
    if (sizes && /\/assets\//.test(response.url())) weight += sizes.responseBodySize;
  });
  await page.addInitScript(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => list.getEntries().forEach((task) => window.longTasks.push(task.duration))).observe({ type: "longtask", buffered: true });
  });
  const begun = performance.now();
  await page.goto(origin + path, { waitUntil: "commit" });
  await page.waitForFunction(() => document.querySelector("main") && !document.querySelector("main [aria-busy=true]"), null, { polling: "raf", timeout: 60_000 });
  while (waiting > 0) await page.waitForTimeout(2);
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  const complete = performance.now() - begun;
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN);
  const loading = await page.evaluate(() => window.longTasks.splice(0));
  if (act) await act(page);
  await page.waitForTimeout(200);
  const acting = await page.evaluate(() => window.longTasks);
  await context.close();
  return { asked: [...new Set(asked)], paint, complete, weight, loading, acting };
}

/** Scrolls what scrolls, and drags over the first chart. */
async function use(page) {
  await page.mouse.move(640, 600);
  for (let step = 0; step < 40; step += 1) await page.mouse.wheel(0, step % 2 ? 900 : 2400);
  await page.evaluate(() => scrollTo(0, 0));
  const plot = await page.$(".plot, canvas");
  const box = await plot?.boundingBox();
  if (box) {
    await page.mouse.move(box.x + box.width * 0.3, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2, { steps: 20 });
    await page.mouse.up();
    await page.waitForTimeout(500);
  }
}

let worst = 0;
for (const range of ["7d", "all"]) {
  console.log(`range ${range}`.padEnd(34), "first paint", " complete", " API p50", " API p95", " longest task loading, using");
  for (const path of views) {
    const seen = [];
    for (let time = 0; time < 3; time += 1) seen.push(await visit(`${path}?range=${range}`, time === 2 ? use : undefined));
    const took = [];
    let slowest = ["", 0];
    for (const url of seen[2].asked) {
      const each = [];
      for (let time = 0; time < Number(times); time += 1) {
        const begun = performance.now();
        await (await fetch(url)).arrayBuffer();
        each.push(performance.now() - begun);
      }
      took.push(...each);
      const p95 = quantile(each, 0.95);
      if (p95 > slowest[1]) slowest = [new URL(url).pathname + new URL(url).search, p95];
    }
    worst = Math.max(worst, slowest[1]);
    const longest = (tasks) => Math.max(0, ...tasks);
    console.log(path.slice(0, 34).padEnd(34), ms(quantile(seen.map(({ paint }) => paint), 0.5)).padStart(11), ms(quantile(seen.map(({ complete }) => complete), 0.5)),
      ms(quantile(took, 0.5)), ms(slowest[1]), ms(longest(seen[2].loading)), ms(longest(seen[2].acting)), slowest[1] > 20 ? ` ${slowest[0]}` : "");
    if (path === "/" && range === "7d") console.log(`  assets: ${(seen[0].weight / 1000).toFixed(0)} kB packed`);
  }
}
console.log(`slowest answer, p95: ${ms(worst).trim()} (bar: 50 ms)`);
await browser.close();
