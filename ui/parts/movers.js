// What rose or fell most against the period before.
import { html } from "../lib.js";
import { exactUsd, usd } from "../format.js";
import { FILTERS, narrow } from "../state.js";
import { copyable } from "./copy.js";
import { labels } from "./names.js";

const MOST = 6;

/** @param {{ dimension: string, rows: any[], past: any[] }} properties of two reports by the dimension */
export function Movers({ dimension, rows, past }) {
  /** @type {Map<string, { now: bigint, before: bigint }>} */
  const all = new Map();
  for (const [key, of] of /** @type {["now" | "before", any[]][]} */ ([["now", rows], ["before", past]])) {
    for (const row of of) {
      const name = row[dimension] ?? "";
      all.set(name, { now: 0n, before: 0n, ...all.get(name), [key]: BigInt(row.cost_nano_usd ?? 0) });
    }
  }
  const size = (/** @type {{ now: bigint, before: bigint }} */ { now, before }) => (now > before ? now - before : before - now);
  const moved = [...all].filter(([, both]) => size(both) > 0n).sort(([, one], [, other]) => (size(other) > size(one) ? 1 : -1)).slice(0, MOST);
  if (moved.length === 0) return html`<p class="empty">Nothing moved.</p>`;
  const label = labels(dimension, all.keys());
  const csv = [[dimension, "before_nano_usd", "cost_nano_usd"], ...[...all].map(([name, { before, now }]) => [name, String(before), String(now)])];
  return html`<div class="tools">${copyable(`movers by ${dimension}`, csv)}</div><table class="rows"><tbody>${moved.map(([name, both]) => {
    const [now, before] = [Number(both.now) / 1e9, Number(both.before) / 1e9];
    return html`<tr key=${name}><th scope="row" class="grow" title=${name}>${FILTERS.includes(dimension)
      ? html`<button type="button" class="link" onClick=${() => narrow(dimension, name)}>${label(name) || "unattributed"}</button>` : label(name) || "unattributed"}</th>
      <td class="number muted wide">${before === 0 ? "new" : `${usd(before)} →`}</td><td class="number" title=${exactUsd(String(both.now))}>${now === 0 ? "gone" : usd(now)}</td>
      <td class="number">${now > before ? "▲" : "▼"} ${usd(Number(size(both)) / 1e9)}</td></tr>`;
  })}</tbody></table>`;
}
