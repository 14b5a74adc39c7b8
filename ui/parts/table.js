// A table that is sorted by a click on a heading, kept in the address, with its CSV. What belongs to nobody is always last, and the sum below it.
import { html, useState } from "../lib.js";
import { ask, place } from "../state.js";
import { copyable } from "./copy.js";

/** Rows that are drawn before somebody asks for all. */
const MOST = 200;

/**
 * @typedef {object} Column
 * @property {string} name of the field, also in the CSV
 * @property {any} label
 * @property {(row: any) => string | number | null} of what it is sorted by, and goes into the CSV
 * @property {(row: any) => any} [cell] how it is shown
 * @property {(row: any) => string} [exact] its tooltip
 * @property {string} [hint] what the heading means
 * @property {boolean} [isText] @property {boolean} [isWide] left out on a phone
 */

/** What is unknown comes last, whichever way. @param {Column} column @param {any} one @param {any} other @param {boolean} isAscending */
function compare({ of, isText }, one, other, isAscending) {
  const [first, second] = [of(one), of(other)];
  if (first === null || second === null) return Number(first === null) - Number(second === null);
  return (isText ? String(first).localeCompare(String(second)) : Number(first) - Number(second)) * (isAscending ? 1 : -1);
}

/**
 * @param {{ title: string, columns: Column[], rows: any[], first: string, total?: any, isRest?: (row: any) => boolean, keyOf?: (row: any) => any, name?: string }} properties
 * `first` names the column that it is sorted by unless another is asked for; a row is known by its first column, or by `keyOf`; `name` tells its order in the address from that of another table of the view
 */
export function Table({ title, columns, rows, first, total, isRest = () => false, keyOf = columns[0].of, name = "" }) {
  const { query } = place.value;
  const [isAll, setAll] = useState(false);
  const [sortKey, orderKey] = name ? [`${name}.sort`, `${name}.order`] : ["sort", "order"];
  const wanted = query.get(sortKey) ?? first;
  const asked = columns.find(({ name }) => name === wanted) ?? /** @type {Column} */ (columns.find(({ name }) => name === first));
  // Names begin with A, figures with the largest.
  const usual = (/** @type {Column} */ { isText }) => (isText ? "asc" : "desc");
  // The order of a column that is not here says nothing of another.
  const order = (asked.name === wanted && query.get(orderKey)) || usual(asked);
  const sorted = rows.toSorted((one, other) => Number(isRest(one)) - Number(isRest(other)) || compare(asked, one, other, order === "asc"));
  const named = sorted.filter((row) => !isRest(row));
  const drawn = isAll || named.length <= MOST ? sorted : [...named.slice(0, MOST), ...sorted.filter(isRest)];
  const sort = (/** @type {Column} */ column) => {
    const next = column !== asked ? usual(column) : order === "asc" ? "desc" : "asc";
    ask({ [sortKey]: column.name === first ? null : column.name, [orderKey]: next === usual(column) ? null : next }, true);
  };
  const arrow = (/** @type {Column} */ column) => html`<span class="arrow" aria-hidden="true">${column === asked ? (order === "asc" ? " ↑" : "↓ ") : ""}</span>`;
  const kind = (/** @type {Column} */ { isText, isWide }) => `${isText ? "" : "number"}${isWide ? " wide" : ""}`;
  const csv = () => [columns.map(({ name }) => name), ...sorted.map((row) => columns.map(({ of }) => String(of(row) ?? "")))];
  return html`<div class="tools">${copyable(title, csv)}</div><div class="sideways"><table class="rows">
    <thead><tr>${columns.map((column) => html`<th key=${column.name} scope="col" class=${kind(column)} title=${column.hint} aria-sort=${column === asked ? (order === "asc" ? "ascending" : "descending") : null}>
      <button type="button" class="link" onClick=${() => sort(column)}>${column.isText ? [column.label, arrow(column)] : [arrow(column), column.label]}</button></th>`)}</tr></thead>
    <tbody>${drawn.map((row, at) => html`<tr key=${keyOf(row) ?? at} data-row>${columns.map((column, place) => {
      const shown = (column.cell ?? column.of)(row);
      return place === 0 ? html`<th key=${column.name} scope="row" class="grow" title=${column.exact?.(row)}>${shown}</th>` : html`<td key=${column.name} class=${kind(column)} title=${column.exact?.(row)}>${shown}</td>`;
    })}</tr>`)}</tbody>
    ${total && html`<tfoot><tr>${columns.map((column, place) => (place === 0 ? html`<th key=${column.name} scope="row">Total</th>` : html`<td key=${column.name} class=${kind(column)} title=${column.exact?.(total)}>${(column.cell ?? column.of)(total)}</td>`))}</tr></tfoot>`}
  </table></div>${drawn.length < sorted.length && html`<p class="note">${sorted.length - drawn.length} more are in the sum and the CSV. <button type="button" class="link" onClick=${() => setAll(true)}>Show them</button></p>`}`;
}

/** A name that filters by a click; nobody's is told so. @param {{ name: string | null, label?: string, onPick?: () => void }} properties */
export function Name({ name, label = name ?? "", onPick }) {
  const shown = name ? label : html`<span class="muted">unattributed</span>`;
  return onPick ? html`<button type="button" class="link" onClick=${onPick}>${shown}</button>` : shown;
}
