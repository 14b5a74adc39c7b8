// A long list of the server's, read in pages as they come into sight. What is being read never moves: what is new waits until it is asked for.
import { effect, signal, useEffect, useRef } from "./lib.js";
import { fetchJson, happened } from "./api.js";

export const PAGE = 200;
/** While someone scrolls through, nothing is asked for that is gone again at once. */
const REST_MS = 60;

/**
 * @typedef {object} List
 * @property {Map<number, any[]>} pages by their number
 * @property {number | null} total of rows; null until it is known
 * @property {any} totals
 * @property {number} fresh how many rows came on top of what is shown
 * @property {string | null} error @property {boolean} isLoading @property {number} at when it was read
 */

/** @type {List} */
const NOTHING = { pages: new Map(), total: null, totals: null, fresh: 0, error: null, isLoading: true, at: 0 };

/** Reads a list. */
class Pages {
  /** @param {string} path @param {Record<string, string>} parameters @param {boolean} isNewestFirst what is new comes on top */
  constructor(path, parameters, isNewestFirst) {
    this.path = path;
    this.parameters = parameters;
    this.isNewestFirst = isNewestFirst;
    this.list = signal(NOTHING);
    /** Pages in sight. */
    this.seen = [0, 0];
    /** @type {Map<number, AbortController>} */
    this.asking = new Map();
    this.waiting = 0;
    this.isEnded = false;
    /** Whether anything was read: until then others' rows may stand here. */
    this.isKnown = false;
    /** Whether rows are being read: they stay where they are then. @type {() => boolean} */
    this.isRead = () => false;
  }

  /** @param {number} index of a row @returns {any | undefined} undefined while it is not read */
  row(index) {
    return this.list.value.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** What is in sight. @param {number} first row @param {number} last row */
  see(first, last) {
    this.seen = [Math.floor(first / PAGE), Math.floor(last / PAGE)];
    for (const [page, abort] of this.asking) if (page < this.seen[0] || page > this.seen[1]) abort.abort();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.fill(), REST_MS);
  }

  fill() {
    if (!this.isKnown) return;
    const { pages, total } = this.list.peek();
    for (let page = this.seen[0]; page <= this.seen[1]; page += 1) if (!pages.has(page) && !this.asking.has(page) && (total === null || page * PAGE < total)) void this.read(page);
  }

  /** @param {number} page @param {boolean} isNews all is read anew, unless it is being read */
  async read(page, isNews = false) {
    const abort = new AbortController();
    this.asking.set(page, abort);
    const { fresh } = this.list.peek();
    const isKept = () => isNews && this.isKnown && this.isRead();
    // What came on top since has moved all others down.
    const parameters = { ...this.parameters, offset: String(page * PAGE + (page > 0 || isKept() ? fresh : 0)), limit: String(PAGE) };
    try {
      const { rows, total, totals } = await fetchJson(this.path, parameters, abort.signal);
      if (abort.signal.aborted) return;
      const known = this.list.peek();
      const at = Date.now();
      if (isKept()) {
        // Rows keep their places and take on their new figures.
        const news = new Map(rows.map((/** @type {any} */ row) => [row.session, row]));
        const pages = new Map([...known.pages].map(([number, rows]) => [number, this.seen[0] <= number && number <= this.seen[1] ? rows.map((row) => news.get(row.session) ?? row) : rows]));
        const grown = this.isNewestFirst ? Math.max(0, total - (known.total ?? total)) : 0;
        this.list.value = { ...known, pages, totals, fresh: grown, error: null, isLoading: false, at };
      } else {
        const isAnew = isNews || !this.isKnown;
        this.isKnown = true;
        this.list.value = { pages: new Map([...(isAnew ? [] : known.pages), [page, rows]]), total: isAnew ? total : known.total, totals, fresh: isAnew ? 0 : this.isNewestFirst ? Math.max(0, total - (known.total ?? total)) : 0, error: null, isLoading: false, at };
      }
    } catch (error) {
      if (!abort.signal.aborted) this.list.value = { ...this.list.peek(), error: error instanceof Error ? error.message : String(error), isLoading: false };
    } finally {
      if (this.asking.get(page) === abort) this.asking.delete(page);
    }
    if (!this.isEnded && !this.list.peek().error) this.fill();
  }

  /** Something happened. */
  renew() {
    const page = this.isKnown && this.isRead() ? this.seen[0] : 0;
    if (document.hidden || this.isEnded || this.asking.has(page)) return;
    void this.read(page, true);
  }

  /** What is new is wanted now. */
  release() {
    this.seen = [0, 0];
    this.isRead = () => false;
    for (const abort of this.asking.values()) abort.abort();
    this.asking.clear();
    void this.read(0, true);
  }

  end() {
    this.isEnded = true;
    clearTimeout(this.waiting);
    for (const abort of this.asking.values()) abort.abort();
  }
}

/** @param {string} path @param {Record<string, string>} parameters @param {boolean} isNewestFirst */
export function usePages(path, parameters, isNewestFirst) {
  const key = `${path} ${JSON.stringify(parameters)}`;
  const held = useRef(/** @type {{ key: string, pages: Pages } | null} */ (null));
  if (held.current?.key !== key) {
    held.current?.pages.end();
    const pages = new Pages(path, parameters, isNewestFirst);
    // The old ones stay until the new ones are there, so that nothing flickers while one types.
    if (held.current) pages.list.value = { ...held.current.pages.list.peek(), isLoading: true, error: null };
    held.current = { key, pages };
  }
  const { pages } = held.current;
  useEffect(() => {
    const stop = effect(() => {
      void happened.value;
      pages.renew();
    });
    return () => {
      stop();
      pages.end();
    };
  }, [pages]);
  return pages;
}
