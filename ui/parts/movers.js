// What rose or fell most against the period before.
import { html } from "../lib.js";
import { cost, exactCost, isUnknown, usd } from "../format.js";
import { FILTERS, narrow } from "../state.js";
import { copyable } from "./copy.js";
import { labels } from "./names.js";

const MOST = 6;

/** @param {{ dimension: string, rows: any[], past: any[] }} properties of two reports by the dimension */
export function Movers({ dimension, rows, past }) {
  const nothing = { nano: 0n, unpriced: 0 };
  /** @typedef {{ nano: bigint, unpriced: number }} Sum */
  /** @type {Map<string, { now: Sum, before: Sum }>} */
  const all = new Map();
  for (const [key, of] of /** @type {["now" | "before", any[]][]} */ ([["now", rows], ["before", past]])) {
    for (const row of of) {
      const name = row[dimension] ?? "";
      all.set(name, { now: nothing, before: nothing, ...all.get(name), [key]: { nano: BigInt(row.cost_nano_usd ?? 0), unpriced: row.unpriced_requests } });
    }
  }
  const lacks = (/** @type {Sum} */ { nano, unpriced }) => isUnknown(nano, unpriced);
  const size = (/** @type {{ now: Sum, before: Sum }} */ { now, before }) => (now.nano > before.nano ? now.nano - before.nano : before.nano - now.nano);
  // From an unknown cost, or to one, nothing is known to have moved.
  const known = [...all].filter(([, { now, before }]) => !lacks(now) && !lacks(before));
  const moved = known.filter(([, both]) => size(both) > 0n).sort(([, one], [, other]) => (size(other) > size(one) ? 1 : -1)).slice(0, MOST);
  const unknown = known.length < all.size && html`<p class="note">Not compared, their cost now or before being unknown: ${all.size - known.length}.</p>`;
  if (moved.length === 0) return html`<p class="empty">${known.length < all.size ? "Nothing is known to have moved." : "Nothing moved."}</p>${unknown}`;
  const label = labels(dimension, all.keys());
  const csv = [[dimension, "before_nano_usd", "cost_nano_usd"], ...[...all].map(([name, { before, now }]) => [name, lacks(before) ? "" : String(before.nano), lacks(now) ? "" : String(now.nano)])];
  return html`<div class="tools">${copyable(`movers by ${dimension}`, csv)}</div><table class="rows"><tbody>${moved.map(([name, both]) => {
    const { now, before } = both;
    return html`<tr key=${name}><th scope="row" class="grow" title=${name}>${FILTERS.includes(dimension)
      ? html`<button type="button" class="link" onClick=${() => narrow(dimension, name)}>${label(name) || "unattributed"}</button>` : label(name) || "unattributed"}</th>
      <td class="number muted wide" title=${exactCost(before.nano, before.unpriced)}>${before.nano === 0n ? "new" : `${cost(before.nano, before.unpriced)} →`}</td><td class="number" title=${exactCost(now.nano, now.unpriced)}>${now.nano === 0n ? "gone" : cost(now.nano, now.unpriced)}</td>
      <td class="number">${now.nano > before.nano ? "▲" : "▼"} ${usd(Number(size(both)) / 1e9)}</td></tr>`;
  })}</tbody></table>${unknown}`;
}
