// A table of any length, of which only the rows in sight exist. Rows are of one height; the row that has the focus stays, however far one scrolls.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib.js";
import { now } from "../state.js";

/** Rows beyond the edge that exist already. */
const BEYOND = 6;
const PRINT = matchMedia("print");
/** Between columns, in pixels. */
const GAP = 12;

/**
 * @typedef {object} Column
 * @property {string} name @property {any} label
 * @property {string} [hint] what the heading means
 * @property {string} width as a track of a grid
 * @property {boolean} [isText]
 * @property {string | null} [sort] the name that it is sorted by on the server
 * @property {(row: any) => any} cell
 * @property {(row: any) => string | null | undefined} [exact] its tooltip
 * @property {(totals: any, count: number) => any} [total]
 */

/**
 * @param {object} properties
 * @param {string} properties.label
 * @param {Column[]} properties.columns
 * @param {number} properties.count of rows
 * @param {(index: number) => any} properties.row undefined while it is not there yet
 * @param {(row: any) => string} properties.keyOf
 * @param {number} properties.height of a row
 * @param {(row: any) => any} [properties.compact] the whole of a row, where columns have no room
 * @param {{ name: string, order: string }} properties.sorted
 * @param {(column: Column) => void} properties.onSort
 * @param {(first: number, last: number) => void} properties.onSee
 * @param {{ current: (() => boolean) }} properties.isRead is set to whether rows are being read
 * @param {{ current: number }} properties.scrolled how far, also when it was last shown
 * @param {any} properties.totals
 */
export function VirtualTable({ label, columns, count, row, keyOf, height, compact, sorted, onSort, onSee, isRead, scrolled, totals }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const body = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [sight, setSight] = useState(/** @type {[number, number]} */ ([0, 30]));
  const [focused, setFocused] = useState(/** @type {number | null} */ (null));
  /** The row to give the focus to once it exists. @type {{ current: number | null }} */
  const wanted = useRef(null);
  const latest = useRef({ count, height, onSee });
  latest.current = { count, height, onSee };

  const look = () => {
    const element = box.current;
    // Paper takes the rows that exist: with all the room it gives, ever more would.
    if (!element || PRINT.matches) return;
    const { count, height, onSee } = latest.current;
    const first = Math.max(0, Math.floor(element.scrollTop / height) - BEYOND);
    const last = Math.min(Math.max(0, count - 1), Math.ceil((element.scrollTop + element.clientHeight) / height) + BEYOND);
    scrolled.current = element.scrollTop;
    setSight((known) => (known[0] === first && known[1] === last ? known : [first, last]));
    onSee(first, last);
  };
  useLayoutEffect(() => {
    if (box.current) box.current.scrollTop = scrolled.current;
  }, [scrolled]);
  useEffect(look, [count, height, onSee]);
  useEffect(() => {
    const watch = new ResizeObserver(look);
    if (box.current) watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  isRead.current = () => (box.current?.scrollTop ?? 0) > 4 || Boolean(body.current?.matches(":hover") || body.current?.contains(document.activeElement));

  const focus = (/** @type {number} */ index) => {
    const element = box.current;
    if (!element || count === 0) return;
    const at = Math.max(0, Math.min(count - 1, index));
    const [top, edge] = [at * height, element.clientHeight - 2 * height];
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + edge - height) element.scrollTop = top - edge + height;
    wanted.current = at;
    setFocused(at);
    look();
  };
  useLayoutEffect(() => {
    if (wanted.current === null) return;
    const link = /** @type {HTMLElement | null | undefined} */ (body.current?.querySelector(`[aria-rowindex="${wanted.current + 2}"] a`));
    if (!link) return;
    wanted.current = null;
    link.focus({ preventScroll: true });
  });
  const keys = useRef(/** @type {(event: KeyboardEvent) => void} */ (() => {}));
  keys.current = (event) => {
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target instanceof Element && event.target.matches("input, select, textarea")) return;
    const isInside = body.current?.contains(document.activeElement) ?? false;
    const top = Math.ceil((box.current?.scrollTop ?? 0) / height);
    const at = isInside ? focused ?? top : null;
    const page = Math.max(1, Math.floor((box.current?.clientHeight ?? 0) / height) - 3);
    /** @type {Record<string, number>} */
    const next = at === null ? { j: top, k: top } : { j: at + 1, k: at - 1, ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: count - 1 };
    if (next[event.key] === undefined) return;
    event.preventDefault();
    focus(next[event.key]);
  };
  useEffect(() => {
    // Before the page's own keys, which know of rows that exist only.
    const heard = (/** @type {KeyboardEvent} */ event) => keys.current(event);
    document.addEventListener("keydown", heard, true);
    return () => document.removeEventListener("keydown", heard, true);
  }, []);

  const [first, last] = [sight[0], Math.min(sight[1], count - 1)];
  const indices = Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => first + at);
  if (focused !== null && focused < count && (focused < first || focused > last)) indices.push(focused);
  // Each row is a grid of its own: what they need at least is one width for all.
  const least = columns.reduce((sum, { width }) => sum + Number.parseInt(width.replace("minmax(", ""), 10) + GAP, GAP);
  const tracks = compact ? "minmax(0, 1fr)" : columns.map(({ width }) => width).join(" ");
  /** A row that is as it was is not made again, nor compared. */
  const made = useRef(/** @type {{ by: unknown[], lines: WeakMap<any, { index: number, line: any }> }} */ ({ by: [], lines: new WeakMap() }));
  const by = [columns, height, compact, now.value];
  if (by.some((one, at) => one !== made.current.by[at])) made.current = { by, lines: new WeakMap() };
  const line = (/** @type {number} */ index) => {
    const of = row(index);
    const known = of && made.current.lines.get(of);
    if (known?.index === index) return known.line;
    const line = drawn(of, index);
    if (of) made.current.lines.set(of, { index, line });
    return line;
  };
  const drawn = (/** @type {any} */ of, /** @type {number} */ index) => {
    const at = { top: `${index * height}px`, height: `${height}px`, gridTemplateColumns: tracks };
    if (!of) return html`<div key=${`at ${index}`} role="row" class="line" aria-rowindex=${index + 2} style=${at} aria-busy="true">${(compact ? [columns[0]] : columns).map(({ name }) => html`<span key=${name} role="cell"><i class="skeleton"></i></span>`)}</div>`;
    return html`<div key=${keyOf(of)} role="row" class="line" data-row aria-rowindex=${index + 2} style=${at} onFocusIn=${() => setFocused(index)}>${compact ? html`<div role="cell">${compact(of)}</div>`
      : columns.map(({ name, cell, exact, isText }) => html`<span key=${name} role="cell" class=${isText ? "" : "number"} title=${exact?.(of)}>${cell(of)}</span>`)}</div>`;
  };
  return html`<div class=${`virtual${sight[0] === 0 ? " top" : ""}`} ref=${box} onScroll=${look} tabindex="0" role="region" aria-label=${label}>
    <div role="table" aria-label=${label} aria-rowcount=${count + 2} style=${{ minWidth: compact ? "0" : `${least}px` }}>
      <div role="rowgroup" class=${`head${compact ? " hidden" : ""}`}><div role="row" class="line" aria-rowindex="1" style=${{ gridTemplateColumns: tracks, height: `${height}px` }}>${(compact ? [{ ...columns[0], label, sort: null }] : columns).map((column) => html`<span key=${column.name} role="columnheader" class=${column.isText ? "" : "number"} title=${column.hint}
        aria-sort=${column.sort && column.sort === sorted.name ? (sorted.order === "asc" ? "ascending" : "descending") : null}>${column.sort ? html`<button type="button" class="link" onClick=${() => onSort(column)}>${column.isText ? "" : html`<span aria-hidden="true">${column.sort === sorted.name ? (sorted.order === "asc" ? "↑ " : "↓ ") : ""}</span>`}${column.label}${
          column.isText ? html`<span aria-hidden="true">${column.sort === sorted.name ? (sorted.order === "asc" ? " ↑" : " ↓") : ""}</span>` : ""}</button>` : column.label}</span>`)}</div></div>
      <div role="rowgroup" class="body" ref=${body} style=${{ height: `${count * height}px` }}>${indices.map(line)}</div>
      ${totals && html`<div role="rowgroup" class="foot"><div role="row" class="line" aria-rowindex=${count + 2} style=${{ gridTemplateColumns: compact ? "minmax(0, 1fr) auto" : tracks, height: `${height}px` }}>${(compact ? columns.filter(({ total, name }, at) => total && (at === 0 || name === "cost")) : columns).map((column) => html`<span key=${column.name} role="cell" class=${column.isText ? "" : "number"}>${column.total?.(totals, count) ?? ""}</span>`)}</div></div>`}
    </div></div>`;
}
