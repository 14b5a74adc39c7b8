// What is looked at, all of it in the address: the view in its path, the rest in its query. Shareable, and back works.
import { batch, computed, signal } from "./lib.js";

/** @typedef {{ view: string, id: string | null, query: URLSearchParams }} Place */

/** @returns {Place} */
function read() {
  const [view = "", id = null] = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  return { view: view === "dashboard" ? "" : view, id, query: new URLSearchParams(location.search) };
}

/** @type {import("./vendor/signals.js").Signal<Place>} */
export const place = signal(read());

/** The time, as far as the page shows it: it moves every ten seconds. */
export const now = signal(Date.now());
setInterval(() => document.hidden || (now.value = Date.now()), 10_000);

addEventListener("popstate", () => (place.value = read()));

/**
 * The address of a view with what of the query is kept: range, zone and filters go along, what is of one view does not.
 * @param {string} view
 * @param {Record<string, string | null>} changes
 */
export function address(view, changes = {}) {
  const query = new URLSearchParams();
  for (const name of KEPT) for (const value of place.value.query.getAll(name)) query.append(name, value);
  return `/${view}${text(changed(query, changes))}`;
}

/** @param {URLSearchParams} query */
function text(query) {
  const written = query.toString();
  return written ? `?${written}` : "";
}

/** @param {URLSearchParams} query @param {Record<string, string | null>} changes */
function changed(query, changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  return query;
}

/** Goes to an address of this page. @param {string} url */
export function go(url) {
  if (url === location.pathname + location.search) return;
  history.pushState(null, "", url);
  batch(() => (place.value = read()));
  if (!location.hash) scrollTo(0, 0);
}

/** Changes the query where one is. @param {Record<string, string | null>} changes */
export function ask(changes, replaces = false) {
  const url = location.pathname + text(changed(new URLSearchParams(location.search), changes));
  if (url === location.pathname + location.search) return;
  history[replaces ? "replaceState" : "pushState"](null, "", url);
  place.value = read();
}

/** Links of this page are followed without loading it anew. */
addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element && event.target.closest("a[href^='/']");
  if (!link || link.hasAttribute("download") || link.hasAttribute("data-away")) return;
  event.preventDefault();
  go(link.getAttribute("href") ?? "/");
});

const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
export const zone = computed(() => place.value.query.get("timezone") ?? ownZone);

/** What requests may be filtered by. */
export const FILTERS = ["agent", "model", "project", "group"];
const KEPT = ["range", "since", "until", "timezone", ...FILTERS];

export const filters = computed(() => FILTERS.flatMap((name) => {
  const value = place.value.query.get(name);
  return value === null ? [] : [{ name, value }];
}));

/** Ranges by name: how many days, today among them. */
export const RANGES = /** @type {const} */ ([
  ["today", "Today", 1], ["7d", "Last 7 days", 7], ["30d", "Last 30 days", 30], ["90d", "Last 90 days", 90], ["month", "This month", 0], ["all", "All time", 0],
]);

/** A day of the zone, as `2026-01-31`. @param {number} at @param {string} zone */
export function day(at, zone) {
  return new Date(at).toLocaleDateString("sv-SE", { timeZone: zone });
}

/** Days later, of the calendar. @param {string} date @param {number} days */
export function plus(date, days) {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

/** Days from the first to the last, both counted. @param {string} since @param {string} until */
export function daysOf(since, until) {
  return Math.round((Date.parse(until) - Date.parse(since)) / 86_400_000) + 1;
}

/** The range in days: its name, its first and last day; no first day for all time. */
export const range = computed(() => {
  const { query } = place.value;
  const today = day(now.value, zone.value);
  const [since, until] = [query.get("since"), query.get("until")];
  if (since || until) return { name: "custom", label: `${since ?? "the beginning"} to ${until ?? "today"}`, since, until: until ?? today, today };
  const [name, label, days] = RANGES.find(([name]) => name === query.get("range")) ?? RANGES[1];
  if (name === "all") return { name, label, since: null, until: today, today };
  if (name === "month") return { name, label, since: `${today.slice(0, 8)}01`, until: today, today };
  return { name, label, since: plus(today, 1 - days), until: today, today };
});

/** The range of the same length before it; null for all time. */
export const before = computed(() => {
  const { since, until, name } = range.value;
  if (!since) return null;
  if (name === "month") {
    const last = plus(since, -1);
    const until_ = plus(`${last.slice(0, 8)}01`, daysOf(since, until) - 1);
    return { since: `${last.slice(0, 8)}01`, until: until_ > last ? last : until_ };
  }
  const days = daysOf(since, until);
  return { since: plus(since, -days), until: plus(since, -1) };
});

/** Parameters of the API for what is looked at. */
export const asked = computed(() => {
  const { since, until } = range.value;
  const parameters = { until, timezone: zone.value, ...(since ? { since } : {}) };
  return filters.value.reduce((all, { name, value }) => ({ ...all, [name]: value }), parameters);
});
