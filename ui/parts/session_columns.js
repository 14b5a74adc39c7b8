// The columns that a list of sessions may have.
import { html } from "../lib.js";
import { UNKNOWN, cost as costOf, duration, exactUsd, isUnknown, last, moment, tokens, unsure, whole } from "../format.js";
import { address, now, zone } from "../state.js";

/** @typedef {import("./virtual_table.js").Column} Column */

/** A session that told something this lately and was not told to end is taken to run. */
const LIVE_MS = 10 * 60_000;

/** @param {{ ended_at: string | null, last_at: string | null }} session */
export function runs({ ended_at, last_at }) {
  return !ended_at && Boolean(last_at) && now.value - Date.parse(last_at ?? "") < LIVE_MS;
}

/** All tokens of a row or of the totals. @param {any} row */
function allTokens(row) {
  return row.input_tokens + row.output_tokens + row.cache_read_tokens + row.cache_write_tokens;
}

/** A session without a known request has no known cost, and one of which only some are priced has at least that. @param {any} row */
export function cost(row) {
  if (isUnknown(row.cost_usd, row.unpriced_requests)) return html`<span class="muted">${UNKNOWN}</span>`;
  return row.unpriced_requests > 0 ? html`<span class="warn" title=${unsure(row.unpriced_requests)}>${costOf(row.cost_usd, row.unpriced_requests)}</span>` : costOf(row.cost_usd);
}

/** @param {string} name @param {string} label @param {string} width @returns {Column} */
function named(name, label, width, sort = null) {
  return { name, label, width, isText: true, sort, cell: (row) => row[name] ?? "", exact: (row) => row[name] };
}

/** @param {string} name @param {string} label @param {string | null} sort @param {string} width @returns {Column} */
function counted(name, label, sort, width = "80px") {
  return { name, label, sort, width, cell: (row) => whole(row[name]), total: (totals) => whole(totals[name]) };
}

/** @param {any} row */
function link(row) {
  return html`<a href=${address(`sessions/${encodeURIComponent(row.session)}`)}>${row.session.slice(0, 8)}</a>${runs(row) && html` <span class="pulse" title="live"></span><span class="hidden">live</span>`}`;
}

/** @param {any} row */
function errors(row) {
  return row.failed_tool_calls + row.api_errors;
}

/** @type {Column[]} */
export const COLUMNS = [
  { name: "session", label: "Session", width: "96px", isText: true, cell: link, exact: (row) => row.session, total: (_, count) => html`<b>${whole(count)}</b> ${count === 1 ? "session" : "sessions"}` },
  { name: "project", label: "Project", sort: "project", width: "minmax(120px, 2fr)", isText: true, cell: (row) => last(row.project ?? row.cwd) || html`<span class="muted">unattributed</span>`, exact: (row) => row.project ?? row.cwd },
  named("cwd", "Folder", "minmax(160px, 3fr)"),
  named("branch", "Branch", "minmax(96px, 1fr)"),
  { ...named("agent", "Agent", "minmax(88px, 1fr)"), sort: "agent" },
  { name: "models", label: "Models", width: "minmax(120px, 1fr)", isText: true, cell: (row) => row.models.join(", "), exact: (row) => row.models.join(", ") },
  named("user", "User", "minmax(80px, 1fr)"), named("team", "Team", "minmax(80px, 1fr)"), named("host", "Host", "minmax(80px, 1fr)"), named("billing", "Billing", "80px"),
  { name: "started_at", label: "Started", sort: "started_at", width: "96px", cell: (row) => (row.started_at ? moment(row.started_at, zone.value, now.value) : UNKNOWN), exact: (row) => row.started_at },
  { name: "last_at", label: "Last", sort: "last_at", width: "96px", cell: (row) => (row.last_at ? moment(row.last_at, zone.value, now.value) : UNKNOWN), exact: (row) => row.last_at },
  { name: "duration", label: "Duration", sort: "duration", width: "80px", hint: "from the first to the last that was heard", cell: (row) => (row.started_at && row.last_at ? duration(Date.parse(row.last_at) - Date.parse(row.started_at)) : UNKNOWN) },
  counted("turns", "Turns", "turns", "64px"), counted("requests", "Requests", "requests"), counted("tool_calls", "Tool calls", "tool_calls"),
  { name: "errors", label: "Errors", sort: "errors", width: "64px", hint: "failed tool calls and errors of the API", cell: (row) => (errors(row) > 0 ? html`<span class="bad">${whole(errors(row))}</span>` : html`<span class="muted">0</span>`),
    exact: (row) => `${whole(row.failed_tool_calls)} failed tool calls, ${whole(row.api_errors)} errors of the API, ${whole(row.incidents)} incidents`, total: (totals) => whole(errors(totals)) },
  { name: "tokens", label: "Tokens", sort: "tokens", width: "76px", cell: (row) => (row.requests === null ? UNKNOWN : tokens(allTokens(row))), exact: (row) => `${whole(allTokens(row))} tokens`, total: (totals) => tokens(allTokens(totals)) },
  { name: "cost", label: "Cost", sort: "cost", width: "84px", cell: cost, exact: (row) => exactUsd(row.cost_nano_usd), total: (totals) => html`<span title=${exactUsd(totals.cost_nano_usd)}>${cost(totals)}</span>` },
];

const USUAL = ["session", "project", "agent", "last_at", "duration", "turns", "requests", "tool_calls", "errors", "cost"];
const KEPT_AS = "sessions.columns";

/** Names of the chosen columns. */
export function chosenColumns() {
  try {
    const names = JSON.parse(localStorage.getItem(KEPT_AS) ?? "null");
    const known = Array.isArray(names) ? COLUMNS.map(({ name }) => name).filter((name) => names.includes(name)) : [];
    if (known.length > 0) return known;
  } catch {
    // Storage is forbidden, or it holds what we did not write.
  }
  return USUAL;
}

/** @param {string[]} names */
export function keepColumns(names) {
  try {
    localStorage.setItem(KEPT_AS, JSON.stringify(names));
  } catch {
    // Storage is forbidden: it holds until the page is closed.
  }
}

/** A row where there is room for two lines only. @param {any} row */
export function compact(row) {
  return html`<a class="two" href=${address(`sessions/${encodeURIComponent(row.session)}`)}><span>${last(row.project ?? row.cwd) || row.agent}${runs(row) && html` <span class="pulse"></span><span class="hidden">live</span>`}</span><b>${cost(row)}</b>
    <span class="muted">${row.agent}, ${row.last_at ? moment(row.last_at, zone.value, now.value) : "no time told"}</span><span class="muted">${errors(row) > 0 && html`<span class="bad">${whole(errors(row))} failed</span>, `}${row.requests === null ? "" : `${whole(row.requests)} ${row.requests === 1 ? "request" : "requests"}`}</span></a>`;
}
