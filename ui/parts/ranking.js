// Rows by cost with a bar each, and what is not shown or belongs to nobody last, so that they add up.
import { html } from "../lib.js";
import { cost, exactCost } from "../format.js";

/** @typedef {{ name: string, label: string, title: string, nano: bigint, unpriced: number, note?: string, href?: string | null, onPick?: () => void }} Ranked */

/** @param {{ rows: Ranked[], most?: number, rest?: string | null, none?: any }} properties */
export function Ranking({ rows, most = 8, rest = null, none = "Nothing in this time." }) {
  if (rows.length === 0) return html`<p class="empty">${none}</p>`;
  const named = rows.filter((row) => row.name !== "");
  const nobody = rows.filter((row) => row.name === "");
  const shown = named.length > most + 1 ? named.slice(0, most) : named;
  const others = named.slice(shown.length);
  const nano = (/** @type {Ranked[]} */ of) => of.reduce((sum, row) => sum + row.nano, 0n);
  const all = [...shown, ...(others.length ? [{ name: "\0", label: `${others.length} others`, title: "", nano: nano(others), unpriced: others.reduce((sum, { unpriced }) => sum + unpriced, 0), href: rest }] : []), ...nobody];
  const largest = all.reduce((largest, row) => (row.nano > largest ? row.nano : largest), 1n);
  return html`<ol class="ranking">${all.map((/** @type {any} */ row) => html`<li key=${row.name}>
    ${row.onPick ? html`<button type="button" class="name" title=${row.title} onClick=${row.onPick}>${row.label}</button>`
    : row.href ? html`<a class="name" title=${row.title} href=${row.href}>${row.label}</a>` : html`<span class="name muted" title=${row.title}>${row.label}</span>`}
    <span class="track" aria-hidden="true"><i style=${{ width: `${Number((row.nano * 1000n) / largest) / 10}%` }}></i></span>
    <span class="number" title=${exactCost(row.nano, row.unpriced)}>${cost(row.nano, row.unpriced)}</span>
    ${row.note && html`<small class="muted">${row.note}</small>`}
  </li>`)}</ol>`;
}
