// Sums by one dimension, whole: every row, what each is made of, and the remainder last.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { exactUsd, last, percent, tokens, usd, whole } from "../format.js";
import { ask, asked } from "../state.js";
import { copyable } from "./copy.js";
import { Empty, shown } from "./states.js";

/** @param {any} row */
function sent(row) {
  return row.input_tokens + row.cache_read_tokens + row.cache_write_5m_tokens + row.cache_write_1h_tokens;
}

/** Dollars a million tokens of all kinds. @param {any} row */
function perMillion(row) {
  const all = sent(row) + row.output_tokens;
  return all > 0 && row.cost_usd !== null ? usd((row.cost_usd * 1e6) / all) : "";
}

/** @param {{ dimension: string, isFilter: boolean }} properties */
export function Groups({ dimension, isFilter }) {
  const answer = useAnswer("report", { ...asked.value, by: dimension });
  return shown(answer, `spend by ${dimension}`, ({ rows, totals }) => {
    if (rows.length === 0) return html`<${Empty}>Nothing in this time.<//>`;
    const sorted = [...rows.filter((/** @type {any} */ row) => row[dimension]), ...rows.filter((/** @type {any} */ row) => !row[dimension])];
    const csv = [[dimension, "requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cost_nano_usd"],
      ...sorted.map((row) => [row[dimension] ?? "", ...["requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cost_nano_usd"].map((name) => String(row[name] ?? ""))])];
    const cells = (/** @type {any} */ row) => html`<td class="number wide">${whole(row.requests)}</td><td class="number wide">${tokens(sent(row))}</td>
      <td class="number wide">${sent(row) > 0 ? percent(row.cache_read_tokens / sent(row)) : ""}</td><td class="number wide">${tokens(row.output_tokens)}</td><td class="number wide">${perMillion(row)}</td>
      <td class="number" title=${exactUsd(row.cost_nano_usd)}>${row.unpriced_requests > 0 && row.cost_usd === 0 ? "unknown" : usd(row.cost_usd)}</td>`;
    return html`<div class="tools">${copyable(`spend by ${dimension}`, csv)}</div><table class="rows">
      <thead><tr><th scope="col">${dimension.replace("_", " ")}</th><th scope="col" class="number wide">Requests</th><th scope="col" class="number wide">Sent</th><th scope="col" class="number wide">From cache</th>
        <th scope="col" class="number wide">Output</th><th scope="col" class="number wide" title="dollars a million tokens of all kinds">$/M</th><th scope="col" class="number">Cost</th></tr></thead>
      <tbody>${sorted.map((row) => html`<tr key=${row[dimension]} data-row><th scope="row" class="grow" title=${row[dimension]}>${
        row[dimension] && isFilter ? html`<button type="button" class="link" onClick=${() => ask({ [dimension]: row[dimension] })}>${dimension === "project" ? last(row[dimension]) : row[dimension]}</button>`
        : row[dimension] ?? html`<span class="muted">unattributed</span>`}</th>${cells(row)}</tr>`)}</tbody>
      <tfoot><tr><th scope="row">Total</th>${cells(totals)}</tr></tfoot></table>`;
  }, 8);
}
