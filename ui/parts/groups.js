// Sums by one dimension, whole: every row, what each is made of, and the remainder last.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { cost, exactCost, isUnknown, percent, tokens, usd, whole } from "../format.js";
import { FILTERS, asked, narrow } from "../state.js";
import { DIMENSIONS, labels } from "./names.js";
import { Empty, shown } from "./states.js";
import { Name, Table } from "./table.js";
import { sent } from "./token_kinds.js";

/** Dollars a million tokens of all kinds; null where nothing is known. @param {any} row */
function perMillion(row) {
  const all = sent(row) + row.output_tokens;
  return all > 0 && row.cost_usd !== null && row.unpriced_requests === 0 ? (row.cost_usd * 1e6) / all : null;
}

/** Tokens by kind. @type {[label: string, name: string, of: (row: any) => number][]} */
const KINDS = [
  ["Fresh input", "input_tokens", (row) => row.input_tokens], ["Cache read", "cache_read_tokens", (row) => row.cache_read_tokens],
  ["Cache write", "cache_write_tokens", (row) => row.cache_write_5m_tokens + row.cache_write_1h_tokens], ["Output", "output_tokens", (row) => row.output_tokens],
];

/** @param {string} dimension @param {(name: string) => string} label @returns {import("./table.js").Column[]} */
function columns(dimension, label) {
  const [, title] = DIMENSIONS.find(([name]) => name === dimension) ?? [dimension, dimension];
  return [
    { name: dimension, label: title, isText: true, of: (row) => row[dimension] ?? null, exact: (row) => row[dimension] ?? "told by no witness",
      cell: (row) => html`<${Name} name=${row[dimension]} label=${label(row[dimension] ?? "")} onPick=${FILTERS.includes(dimension) ? () => narrow(dimension, row[dimension] ?? "") : undefined} />` },
    { name: "requests", label: "Requests", isWide: true, of: (row) => row.requests, cell: (row) => whole(row.requests) },
    ...KINDS.map(([label, name, of]) => ({ name, label, isWide: true, of, cell: (/** @type {any} */ row) => tokens(of(row)), exact: (/** @type {any} */ row) => whole(of(row)) })),
    { name: "cache_hit_ratio", label: "From cache", hint: "cache reads of all that was sent", isWide: true, of: (row) => (sent(row) > 0 ? row.cache_read_tokens / sent(row) : null), cell: (row) => (sent(row) > 0 ? percent(row.cache_read_tokens / sent(row)) : "") },
    { name: "usd_per_million", label: "$/M", hint: "dollars a million tokens of all kinds", isWide: true, of: perMillion, cell: (row) => (perMillion(row) === null ? "" : usd(perMillion(row))) },
    { name: "cost_nano_usd", label: "Cost", of: (row) => (isUnknown(row.cost_usd, row.unpriced_requests) ? null : Number(row.cost_nano_usd)), exact: (row) => exactCost(row.cost_nano_usd, row.unpriced_requests),
      cell: (row) => (row.unpriced_requests > 0 ? html`<span class="warn">${cost(row.cost_usd, row.unpriced_requests)}</span>` : cost(row.cost_usd)) },
  ];
}

/** @param {{ dimension: string, first?: string, name?: string }} properties `first`: what it is sorted by; `name`: of its table, where the view has another */
export function Groups({ dimension, first = "cost_nano_usd", name }) {
  const answer = useAnswer("report", { ...asked.value, by: dimension });
  return shown(answer, `spend by ${dimension}`, ({ rows, totals }) => (rows.length === 0 ? html`<${Empty}>Nothing in this time.<//>`
    : html`<${Table} title=${`spend by ${dimension}`} name=${name} columns=${columns(dimension, labels(dimension, rows.map((/** @type {any} */ row) => row[dimension])))} rows=${rows} first=${first} total=${totals} isRest=${(/** @type {any} */ row) => !row[dimension]} />`), 8);
}
