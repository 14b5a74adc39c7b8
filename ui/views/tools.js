// Which tools are called, fail and take long, and what their results weigh.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { UNKNOWN, bytes, duration, last, moment, percent, whole } from "../format.js";
import { address, ask, filters, now, only, place, zone } from "../state.js";
import { copyable } from "../parts/copy.js";
import { Glance } from "../parts/figure.js";
import { Icon } from "../parts/icons.js";
import { Empty, shown } from "../parts/states.js";
import { Name, Table } from "../parts/table.js";

/** Filters that calls have, and those of this view alone. */
const OF_CALLS = ["agent", "project", "group", "user", "team"];
const OWN = ["tool", "mcp_server", "outcome"];

/** Parameters of the API for the calls that are looked at. */
export function asksOfCalls() {
  return only(OF_CALLS);
}

/** Failures by kind, the most first. @param {any} row */
function kinds(row) {
  const all = Object.entries(row.error_kinds ?? {}).sort(([, one], [, other]) => other - one);
  return all.map(([name, count]) => `${name.replaceAll("_", " ")} ${whole(count)}`);
}

/** @param {string} name @param {string} label @param {string} hint @param {boolean} isWide @returns {import("../parts/table.js").Column} */
function took(name, label, hint, isWide) {
  return { name, label, hint, isWide, of: (row) => row[name], cell: (row) => (row[name] === null ? UNKNOWN : duration(row[name])) };
}

/** @param {string} by @returns {import("../parts/table.js").Column[]} */
function columns(by) {
  const perCall = (/** @type {any} */ row) => (row.sized_calls > 0 ? row.result_bytes / row.sized_calls : null);
  return [
    { name: by, label: by === "tool" ? "Tool" : "MCP server", isText: true, of: (row) => row[by],
      cell: (row) => (row[by] === null && by === "mcp_server" ? html`<span class="muted">no MCP server</span>` : html`<${Name} name=${row[by]} onPick=${row[by] ? () => ask({ [by]: row[by] }) : undefined} />`) },
    { name: "calls", label: "Calls", of: (row) => row.calls, cell: (row) => whole(row.calls) },
    { name: "failed", label: "Failed", of: (row) => row.failed, exact: (row) => kinds(row).join(", "),
      cell: (row) => (row.failed === 0 ? html`<span class="muted">0</span>` : html`<span class="bad">${whole(row.failed)}</span> <small class="muted share">${percent(row.failed / row.calls)}</small>`) },
    { name: "error_kinds", label: "Most often", isText: true, isWide: true, of: (row) => kinds(row).join(", "), cell: (row) => html`<span class="muted">${kinds(row)[0] ?? ""}</span>` },
    took("p50_ms", "p50", "half took at most this long", true), took("p95_ms", "p95", "19 of 20 took at most this long", false), took("p99_ms", "p99", "99 of 100 took at most this long", true),
    { name: "bytes_per_call", label: "Result", hint: "bytes a call, of those whose size was told", isWide: true, of: perCall, cell: (row) => (perCall(row) === null ? UNKNOWN : bytes(Math.round(perCall(row) ?? 0))) },
    { name: "result_bytes", label: "All results", isWide: true, of: (row) => (row.sized_calls > 0 ? row.result_bytes : null), exact: (row) => `${whole(row.result_bytes)} bytes of ${whole(row.sized_calls)} calls`,
      cell: (row) => (row.sized_calls > 0 ? bytes(row.result_bytes) : UNKNOWN) },
  ];
}

/** @param {{ answer: import("../api.js").Answer }} properties */
function Totals({ answer }) {
  const totals = answer.data?.totals;
  const time = (/** @type {number | null | undefined} */ ms) => (ms === null || ms === undefined ? UNKNOWN : duration(ms));
  return html`<dl class="card glances">
    <${Glance} label="Calls" answer=${answer} value=${whole(totals?.calls)} />
    <${Glance} label="Failed" answer=${answer} value=${whole(totals?.failed)} note=${totals?.calls > 0 && percent(totals.failed / totals.calls)} />
    <${Glance} label="p50" answer=${answer} value=${time(totals?.p50_ms)} note=${totals && `of ${whole(totals.timed_calls)} timed`} />
    <${Glance} label="p95" answer=${answer} value=${time(totals?.p95_ms)} />
    <${Glance} label="p99" answer=${answer} value=${time(totals?.p99_ms)} />
    <${Glance} label="Results" answer=${answer} value=${totals && (totals.sized_calls > 0 ? bytes(totals.result_bytes) : UNKNOWN)} note=${totals && `of ${whole(totals.sized_calls)} calls`} />
  </dl>`;
}

/** What came of calls, and why they failed: a click filters by the outcome. @param {{ totals: any }} properties */
function Outcomes({ totals }) {
  const outcomes = Object.entries(totals.outcomes ?? {}).sort(([, one], [, other]) => Number(other) - Number(one));
  const errors = Object.entries(totals.error_kinds ?? {}).sort(([, one], [, other]) => Number(other) - Number(one));
  const bar = (/** @type {[string, any]} */ [name, count], /** @type {number} */ most, /** @type {boolean} */ isOutcome) => html`<li key=${name}>
    <${Name} name=${name} label=${name.replaceAll("_", " ")} onPick=${isOutcome ? () => ask({ outcome: name }) : undefined} />
    <span class="track" aria-hidden="true"><i style=${{ width: `${(100 * count) / most}%` }}></i></span><span class="number">${whole(count)}</span></li>`;
  const list = (/** @type {[string, any][]} */ rows, /** @type {boolean} */ isOutcome) => html`<ol class="ranking">${rows.map((row) => bar(row, Number(rows[0][1]) || 1, isOutcome))}</ol>`;
  const save = (/** @type {string} */ title, /** @type {[string, any][]} */ rows) => html`<div class="tools">${copyable(title, [["name", "calls"], ...rows.map(([name, count]) => [name, String(count)])])}</div>`;
  return html`<div class="columns"><section class="card"><h2>Outcomes</h2>${outcomes.length === 0 ? html`<${Empty}>No calls in this time.<//>` : html`${save("outcomes", outcomes)}${list(outcomes, true)}`}</section>
    <section class="card"><h2>Failures by kind</h2>${errors.length === 0 ? html`<${Empty}>${totals.failed === 0 ? "Nothing failed." : "No witness told why."}<//>` : html`${save("failures by kind", errors)}${list(errors, false)}`}</section></div>`;
}

/** @param {{ rows: any[] }} properties */
function Slowest({ rows }) {
  if (rows.length === 0) return html`<${Empty}>No call was timed.<//>`;
  return html`<table class="rows"><thead><tr><th scope="col">At</th><th scope="col">Tool</th><th scope="col">Target</th><th scope="col" class="wide">Project</th><th scope="col" class="wide">Outcome</th><th scope="col" class="number">Took</th></tr></thead>
    <tbody>${rows.map((call) => html`<tr key=${call.tool_call} data-row><td class="muted">${call.started_at ? moment(call.started_at, zone.value, now.value) : ""}</td>
      <td>${call.session ? html`<a href=${address(`sessions/${encodeURIComponent(call.session)}`)}>${call.name ?? "tool"}</a>` : call.name ?? "tool"}</td>
      <td class="grow muted" title=${call.target}>${/^https?:/.test(call.target ?? "") ? call.target : last(call.target)}</td><td class="wide" title=${call.project}>${last(call.project)}</td>
      <td class=${`wide ${call.outcome && call.outcome !== "ok" ? "bad" : ""}`}>${call.outcome ?? UNKNOWN}</td><td class="number">${duration(call.duration_ms)}</td></tr>`)}</tbody></table>`;
}

export function Tools() {
  const { query } = place.value;
  const by = query.get("by") === "mcp_server" ? "mcp_server" : "tool";
  const own = OWN.flatMap((name) => (query.has(name) ? [{ name, value: query.get(name) ?? "" }] : []));
  const answer = useAnswer("tools", { ...asksOfCalls(), by, ...Object.fromEntries(own.map(({ name, value }) => [name, value])) });
  const ignored = filters.value.filter(({ name }) => !OF_CALLS.includes(name)).map(({ name }) => name);
  return html`
    <div class="tabs" role="group" aria-label="Grouped by">${[["tool", "Tools"], ["mcp_server", "MCP servers"]].map(([name, title]) => html`<button key=${name} type="button" aria-pressed=${by === name} onClick=${() => ask({ by: name === "tool" ? null : name })}>${title}</button>`)}
      ${own.map(({ name, value }) => html`<button key=${name} type="button" class="chip" onClick=${() => ask({ [name]: null })}><span class="muted">${name.replace("_", " ")}</span> ${value || "none"} <${Icon} name="close" /><span class="hidden">remove</span></button>`)}</div>
    ${ignored.length > 0 && html`<p class="note">Of a call no witness tells its ${ignored.join(", ")}: all calls are shown.</p>`}
    <${Totals} answer=${answer} />
    ${shown(answer, "tool calls", (data) => html`
      <section class="card"><h2>${by === "tool" ? "Tools" : "MCP servers"}</h2>${data.rows.length === 0 ? html`<${Empty}>No tool was called in this time.<//>`
        : html`<${Table} title=${`calls by ${by}`} columns=${columns(by)} rows=${data.rows} first="calls" total=${data.totals} isRest=${(/** @type {any} */ row) => row[by] === null} />`}</section>
      <${Outcomes} totals=${data.totals} />
      <section class="card"><h2>Slowest calls</h2><${Slowest} rows=${data.slowest} /></section>`, 12)}`;
}
