// The first page: what was spent, on what, and by which sessions. Asks the API anew when something
// happened, and now and then, while it is looked at.
import { element } from "./dom.js";
import { ago, exactUsd, tokens, usd } from "./figures.js";
import { notices } from "./history.js";
import { machineTable } from "./machines.js";
import { gauge } from "./quota.js";
import { ticker } from "./ticker.js";
import { quietNotices } from "./witnesses.js";

const EVERY_MS = 15000;
/** What happens at once is read once. */
const SETTLE_MS = 700;
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

function show(id, ...children) {
  document.getElementById(id).replaceChildren(...children);
}

async function ask(path, parameters = {}) {
  const answer = await fetch(`/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  return body;
}

function day(date) {
  const pad = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

/** First days of the spans, in the viewer's zone; weeks begin on Monday. */
function spans(now) {
  const monday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - ((now.getDay() + 6) % 7));
  const first = new Date(now.getFullYear(), now.getMonth(), 1);
  return [["Today", day(now)], ["This week", day(monday)], ["This month", day(first)]];
}

/** What of a cost is no bill: use of a plan, at list price. */
function planNote(rows) {
  const plan = rows.find((row) => row.billing === "plan")?.cost_usd ?? 0;
  if (plan === 0) return [];
  const all = rows.every((row) => row.billing === "plan" || row.requests === 0);
  return [element("p", { class: "note" }, all ? "list-price value on a plan, no bill" : `${usd(plan)} of it list-price value on a plan, no bill`)];
}

function tile(title, { totals, rows }) {
  const unpriced = totals.unpriced_requests;
  const note = `${totals.requests.toLocaleString("en-US")} requests` + (unpriced ? `, ${unpriced.toLocaleString("en-US")} of unknown price` : "");
  return element("div", { class: "tile" },
    element("h2", {}, title),
    element("p", { class: "figure", title: exactUsd(totals.cost_nano_usd) }, usd(totals.cost_usd)),
    element("p", { class: "note", title: totals.unpriced_models.join(", ") }, note),
    ...planNote(rows));
}

const KINDS = [
  ["cache_read_tokens", "cache read"],
  ["cache_write_5m_tokens", "cache write 5 min"],
  ["cache_write_1h_tokens", "cache write 1 h"],
  ["input_tokens", "input"],
  ["output_tokens", "output"],
];

function tokensByKind(totals) {
  const sum = KINDS.reduce((sum, [field]) => sum + totals[field], 0);
  if (sum === 0) return [empty("No tokens this month.")];
  const share = (field) => (100 * totals[field]) / sum;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "bar");
  svg.setAttribute("viewBox", "0 0 100 1");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  let from = 0;
  KINDS.forEach(([field], place) => {
    const part = document.createElementNS(svg.namespaceURI, "rect");
    for (const [key, value] of [["x", from], ["width", share(field)], ["height", 1], ["class", `kind-${place}`]]) part.setAttribute(key, value);
    from += share(field);
    svg.append(part);
  });
  const legend = KINDS.map(([field, name], place) =>
    element("li", { title: `${totals[field].toLocaleString("en-US")} tokens` },
      element("span", { class: `dot kind-${place}` }), `${name} `, element("b", {}, tokens(totals[field]))));
  return [svg, element("ul", { class: "legend" }, ...legend)];
}

function empty(text) {
  return element("p", { class: "empty" }, text);
}

/** Rows by cost, with a bar for the share. */
function ranking(rows, key, most = 8) {
  if (rows.length === 0) return [empty("Nothing this month.")];
  const largest = Math.max(...rows.map((row) => row.cost_usd ?? 0), Number.MIN_VALUE);
  const shown = rows.slice(0, most).map((row) => {
    const name = row[key] || "unattributed";
    return element("tr", {},
      element("td", { title: name }, key === "project" ? name.split(/[/\\]/).pop() || name : name),
      element("td", { class: "share" }, element("meter", { min: 0, max: largest, value: row.cost_usd ?? 0, "aria-hidden": "true" })),
      element("td", { class: "number", title: exactUsd(row.cost_nano_usd) }, usd(row.cost_usd)));
  });
  const table = element("table", {}, element("tbody", {}, ...shown));
  return rows.length > most ? [table, element("p", { class: "note" }, `and ${rows.length - most} more`)] : [table];
}

function sessionTable(rows, now) {
  if (rows.length === 0) {
    return [empty("No sessions yet. Ducat reads the transcripts of Claude Code, Codex, Gemini CLI and others as they are written: start a session, and it appears here.")];
  }
  const head = [["Session"], ["Folder"], ["Last", "number"], ["Turns", "number wide"], ["Requests", "number wide"], ["Tools", "number wide"], ["Cost", "number"]];
  const cells = (row) => [
    [row.session.slice(0, 8), "", row.session],
    [(row.cwd ?? "").split(/[/\\]/).pop(), "", row.cwd ?? ""],
    [ago(row.last_at, now), "number", row.last_at ?? ""],
    [row.turns, "number wide", ""],
    [row.requests ?? "unknown", "number wide", ""],
    [row.tool_calls, "number wide", ""],
    [usd(row.cost_usd), "number", exactUsd(row.cost_nano_usd)],
  ];
  return [element("table", {},
    element("thead", {}, element("tr", {}, ...head.map(([title, kind = ""]) => element("th", { class: kind, scope: "col" }, title)))),
    element("tbody", {}, ...rows.map((row) =>
      element("tr", {}, ...cells(row).map(([text, kind, title]) => element("td", { class: kind, title }, String(text)))))))];
}

async function refresh() {
  const now = new Date();
  const dated = spans(now);
  const today = dated[0][1];
  const month = dated[2][1];
  const [reports, models, projects, sessions, quota, history, machines, witnesses] = await Promise.all([
    Promise.all(dated.map(([, since]) => ask("report", { by: "billing", since, until: today, timezone: zone }))),
    ask("report", { by: "model", since: month, until: today, timezone: zone }),
    ask("report", { by: "project", since: month, until: today, timezone: zone }),
    ask("sessions", { limit: 12 }),
    ask("quota"),
    ask("history"),
    ask("machines"),
    ask("witnesses"),
  ]);
  show("spans", ...dated.map(([title], place) => tile(title, reports[place])));
  show("quotas", ...quota.quotas.map((quota) => gauge(quota, now)));
  show("notices", ...quietNotices(witnesses.rows, now), ...notices(history.rows, now));
  show("tokens", ...tokensByKind(reports[2].totals));
  show("models", ...ranking(models.rows, "model"));
  show("projects", ...ranking(projects.rows, "project"));
  show("sessions", ...sessionTable(sessions.rows, now));
  showMachines(machines.rows, now);
}

/** The hint below stays as it was opened. */
function showMachines(rows, now) {
  const open = document.querySelector("#machines details")?.open ?? false;
  show("machines", ...machineTable(rows, now));
  document.querySelector("#machines details").open = open;
}

let next = 0;

async function run() {
  clearTimeout(next);
  const state = document.getElementById("state");
  if (!document.hidden) {
    try {
      await refresh();
      state.textContent = zone;
      state.className = "";
    } catch (error) {
      state.textContent = `cannot read: ${error.message}`;
      state.className = "fault";
    }
  }
  clearTimeout(next);
  next = setTimeout(run, EVERY_MS);
}

function soon() {
  clearTimeout(next);
  next = setTimeout(run, SETTLE_MS);
}

document.addEventListener("visibilitychange", () => document.hidden || run());
ticker(document.getElementById("ticker"), soon, (is) => {
  document.getElementById("live").textContent = is ? "" : "(not connected)";
});
run();
