// Which model costs what, what a token of it costs in effect, and how fast it answers.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { UNKNOWN, duration, usd, whole } from "../format.js";
import { filters, narrow, only } from "../state.js";
import { Groups } from "../parts/groups.js";
import { SpendChart } from "../parts/spend_chart.js";
import { Empty, shown } from "../parts/states.js";
import { Name, Table } from "../parts/table.js";

/** @typedef {import("../parts/table.js").Column} Column */

/** @param {string} name @param {string} label @param {string} hint @param {boolean} isWide @returns {Column} */
function took(name, label, hint, isWide) {
  return { name, label, hint, isWide, of: (row) => row[name], cell: (row) => (row[name] === null ? UNKNOWN : duration(row[name])) };
}

/** @type {Column} */
const MODEL = { name: "model", label: "Model", isText: true, of: (row) => row.model, cell: (row) => html`<${Name} name=${row.model} onPick=${() => narrow("model", row.model ?? "")} />` };

/** @type {Column[]} */
const LATENCY = [
  MODEL,
  { name: "timed_requests", label: "Timed", hint: "requests whose time a witness told", isWide: true, of: (row) => row.timed_requests, cell: (row) => whole(row.timed_requests) },
  took("p50_ms", "p50", "half took at most this long", false), took("p95_ms", "p95", "19 of 20 took at most this long", false), took("p99_ms", "p99", "99 of 100 took at most this long", true),
  took("ttft_p50_ms", "First token p50", "half had their first token after at most this long", true), took("ttft_p95_ms", "First token p95", "19 of 20 had their first token after at most this long", true),
  { name: "output_tokens_per_second", label: "Tokens/s", hint: "output tokens a second of the timed requests", of: (row) => row.output_tokens_per_second, cell: (row) => (row.output_tokens_per_second === null ? UNKNOWN : row.output_tokens_per_second.toFixed(1)) },
];

/** @param {string} name @param {string} label @returns {Column} */
function rate(name, label) {
  const of = (/** @type {any} */ row) => row[`${name}_usd_per_million`];
  return { name: `${name}_usd_per_million`, label, isWide: name !== "input" && name !== "output", of, cell: (row) => usd(of(row)) };
}

/** @type {Column[]} */
const RATES = [
  { ...MODEL, cell: (row) => html`<${Name} name=${row.model} onPick=${() => narrow("model", row.model)} />${row.is_override && html` <small class="muted">own price</small>`}` },
  { name: "provider", label: "Provider", isText: true, isWide: true, of: (row) => row.provider, cell: (row) => row.provider ?? "" },
  rate("input", "Fresh input"), rate("cache_read", "Cache read"), rate("cache_write_5m", "Write, 5 min"), rate("cache_write_1h", "Write, 1 h"), rate("output", "Output"),
];

/** List prices of the models that the ledger has; what has none is told by name. */
export function Rates() {
  const answer = useAnswer("prices");
  return html`<section class="card" id="prices"><h2>Prices <span class="muted">dollars a million tokens</span></h2>${shown(answer, "prices", ({ rows, table }) => {
    const unpriced = rows.filter((/** @type {any} */ row) => row.input_usd_per_million === null && row.output_usd_per_million === null).map((/** @type {any} */ row) => row.model ?? "a model that nobody named");
    return html`<p class="note">${table.source && `From ${table.source}. `}Standard tier, short context, today. Your own go into the configuration file; <code>ducat prices update FILE</code> takes a newer table.</p>
      ${unpriced.length > 0 && html`<p class="notice">No price is known for <strong>${unpriced.join(", ")}</strong>: their cost is unknown and in no sum.</p>`}
      ${rows.length === 0 ? html`<${Empty}>No models yet.<//>` : html`<${Table} title="prices" name="prices" columns=${RATES} rows=${rows} first="model" />`}`;
  }, 5)}</section>`;
}

/** Filters that the latency of requests is known by. */
const OF_LATENCY = ["agent", "project", "group", "model"];

function Latency() {
  const ignored = filters.value.filter(({ name }) => !OF_LATENCY.includes(name)).map(({ name }) => name);
  const answer = useAnswer("latency", { ...only(OF_LATENCY), by: "model" });
  return html`<section class="card"><h2>Latency</h2>${ignored.length > 0 && html`<p class="note">Not filtered by ${ignored.join(", ")}.</p>`}${shown(answer, "latency", ({ rows }) => (rows.every((/** @type {any} */ row) => row.timed_requests === 0 && row.ttft_requests === 0)
    ? html`<${Empty}>No witness told how long requests took in this time. Telemetry does: <code>ducat setup claude-code</code>.<//>`
    : html`<${Table} title="latency by model" name="latency" columns=${LATENCY} rows=${rows} first="timed_requests" />`), 5)}</section>`;
}

export function Models() {
  return html`
    <section class="card"><${SpendChart} dimension="model" /></section>
    <section class="card"><h2>Cost and tokens</h2><${Groups} dimension="model" /></section>
    <${Latency} /><${Rates} />`;
}
