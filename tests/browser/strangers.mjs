// A page of another origin, and a name pointed at the server, try to read and to write. Prints what each attempt came to, as JSON.
// Usage: node strangers.mjs SERVER_PORT
import http from "node:http";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.BROWSER_MODULES}/`)("playwright-core");
const port = Number(process.argv[2]);
const target = `http://localhost:${port}`;
const [assets] = /\/assets\/[^/]+/.exec(await (await fetch(`${target}/`)).text());

const stranger = http.createServer((_, answer) => {
  answer.setHeader("content-type", "text/html");
  answer.end("<!doctype html><title>stranger</title><iframe id=frame name=frame></iframe>");
});
await new Promise((ready) => stranger.listen(0, "127.0.0.1", ready));
const origin = `http://127.0.0.1:${stranger.address().port}`;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    `--host-resolver-rules=MAP rebound.example 127.0.0.1`],
});
const came = {};

// From a page of another origin.
const page = await browser.newPage();
const statuses = {};
page.on("response", (response) => { if (response.url().startsWith(target)) statuses[`${response.request().method()} ${new URL(response.url()).pathname}`] = response.status(); });
await page.goto(origin);
came.attempts = await page.evaluate(async ({ target, assets }) => {
  const attempt = (work) => work().then((value) => `read ${value}`, (error) => `refused: ${error.name}`);
  const body = JSON.stringify({ toolName: "evil", citizen: "evil", trackingId: "evil" });
  const event = (url) => new Promise((resolve, reject) => {
    const source = new EventSource(url);
    source.addEventListener("hello", () => resolve("an event"));
    source.onmessage = () => resolve("an event");
    source.onerror = () => { source.close(); reject(new Error("no events")); };
  });
  const form = () => new Promise((resolve, reject) => {
    const form = document.createElement("form");
    form.method = "post";
    form.action = `${target}/metrics/tool/start`;
    form.enctype = "text/plain";
    form.target = "frame";
    const field = document.createElement("input");
    field.name = body.slice(0, -1) + ', "x": "';
    field.value = '"}';
    form.append(field);
    document.body.append(form);
    document.getElementById("frame").onload = () => reject(new Error("answered into a frame"));
    form.submit();
    setTimeout(() => reject(new Error("no answer")), 3000);
  });
  const image = () => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve("an image");
    image.onerror = () => reject(new Error("no image"));
    image.src = `${target}/metrics`;
  });
  const script = () => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.onload = () => resolve("a script");
    script.onerror = () => reject(new Error("no script"));
    script.src = `${target}${assets}/page.js`;
    document.body.append(script);
  });
  return {
    fetch: await attempt(() => fetch(`${target}/api/v1/sessions`).then((answer) => answer.text())),
    fetchMetrics: await attempt(() => fetch(`${target}/metrics`).then((answer) => answer.text())),
    fetchOpaque: await attempt(() => fetch(`${target}/api/v1/sessions`, { mode: "no-cors" }).then((answer) => answer.text().then((text) => { if (!text) throw new Error("opaque"); return text; }))),
    post: await attempt(() => fetch(`${target}/metrics/tool/start`, { method: "POST", headers: { "content-type": "application/json" }, body }).then((answer) => answer.text())),
    postSimple: await attempt(() => fetch(`${target}/metrics/tool/start`, { method: "POST", mode: "no-cors", body }).then((answer) => answer.text().then((text) => { if (!text) throw new Error("opaque"); return text; }))),
    beacon: navigator.sendBeacon(`${target}/metrics/tool/start`, body) ? "sent" : "refused",
    events: await attempt(() => event(`${target}/api/v1/live`)),
    form: await attempt(form),
    image: await attempt(image),
    script: await attempt(script),
  };
}, { target, assets });
came.statuses = statuses;

// Under a name that was pointed at the server: the page is "same origin" to the browser.
const rebound = await browser.newPage();
const answer = await rebound.goto(`http://rebound.example:${port}/`);
came.rebound = { page: answer.status(), text: await rebound.innerText("body") };
came.reboundFetch = await rebound.evaluate(() => fetch("/api/v1/sessions").then((answer) => answer.status));
came.reboundPost = await rebound.evaluate(() =>
  fetch("/metrics/tool/start", { method: "POST", headers: { "content-type": "application/json" }, body: '{"toolName":"evil","citizen":"evil","trackingId":"evil"}' }).then((answer) => answer.status));

// Framed: the browser must not show it.
const framing = await browser.newPage();
await framing.goto(origin);
await framing.evaluate((target) => { document.getElementById("frame").src = target; }, target);
await framing.waitForTimeout(1000);
const frame = framing.frames().find((frame) => frame !== framing.mainFrame());
came.framed = await frame.evaluate(() => document.body.innerText).catch(() => "nothing");

// The user's own page works.
const own = await browser.newPage();
const faults = [];
own.on("console", (message) => message.type() === "error" && faults.push(message.text()));
own.on("pageerror", (error) => faults.push(String(error)));
await own.goto(`${target}/`);
await own.waitForFunction(() => document.querySelector("main"));
came.own = { faults, title: await own.title() };

console.log(JSON.stringify(came));
await browser.close();
stranger.close();
