// What is looked at, all of it in the address: the view in its path, the rest in its query. Shareable, and back works.
import { batch, computed, signal } from "./lib.js";
import { HOUR_MS, QUARTER_MS, day, daysOf, floorTo, isDay, plus, stamp, startOf } from "./calendar.js";

/** @typedef {{ view: string, id: string | null, query: URLSearchParams }} Place */

/** @param {string} part of an address, which anybody may have written */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @returns {Place} */
function read() {
  const [view = "", id = null] = location.pathname.split("/").filter(Boolean).map(decoded);
  return { view: view === "dashboard" ? "" : view, id, query: new URLSearchParams(location.search) };
}

/** @type {import("./vendor/signals-core.js").Signal<Place>} */
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
    // An empty filter asks for what is attributed to none.
    if (value === null || (value === "" && !FILTERS.includes(name))) query.delete(name);
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

/** The zone to show times in: the asked one, unless there is none of that name, which the server then says. */
export const zone = computed(() => {
  const asked = place.value.query.get("timezone");
  try {
    return asked === null ? ownZone : new Intl.DateTimeFormat("en", { timeZone: asked }).resolvedOptions().timeZone;
  } catch {
    return ownZone;
  }
});

/** What requests may be filtered by. */
export const FILTERS = ["agent", "model", "project", "branch", "user", "team", "host", "billing", "group"];
const KEPT = ["range", "since", "until", "timezone", ...FILTERS];

export const filters = computed(() => FILTERS.flatMap((name) => {
  const value = place.value.query.get(name);
  return value === null ? [] : [{ name, value }];
}));

/** A first click looks at one name alone, a second one at its sessions. @param {string} dimension one of the filters @param {string} name */
export function narrow(dimension, name) {
  if (place.value.query.get(dimension) === name) go(address("sessions"));
  else ask({ [dimension]: name });
}

/** Ranges by name: how many hours to now, or days with today among them. @type {[name: string, label: string, length: { hours?: number, days?: number }][]} */
export const RANGES = [
  ["6h", "Last 6 hours", { hours: 6 }], ["24h", "Last 24 hours", { hours: 24 }], ["today", "Today", { days: 1 }], ["7d", "Last 7 days", { days: 7 }],
  ["30d", "Last 30 days", { days: 30 }], ["90d", "Last 90 days", { days: 90 }], ["month", "This month", {}], ["all", "All time", {}],
];
export const USUAL = "7d";

/**
 * A stretch of time: `since` and `until` as the API takes them (a day, the last one included, or a time, excluded), `from` and `to` its instants.
 * @typedef {{ since: string | null, until: string, from: number | null, to: number }} Stretch
 */

/** @param {string | null} since @param {string} until @returns {Stretch} */
function stretch(since, until) {
  const from = since === null ? null : isDay(since) ? startOf(since, zone.value) : Date.parse(since);
  const to = isDay(until) ? startOf(plus(until, 1), zone.value) : Date.parse(until);
  return { since, until, from, to };
}

/** `2026-01-31`, or with the time of the zone. @param {string} text */
function written(text) {
  return isDay(text) ? text : new Date(text).toLocaleString("sv-SE", { timeZone: zone.value, dateStyle: "short", timeStyle: "short" });
}

/** Whether it is a day or a time of the calendar. @param {string} text */
function isTime(text) {
  return !Number.isNaN(Date.parse(isDay(text) ? `${text}T00:00:00Z` : text)) && /^(19[7-9]\d|2\d{3})-\d{2}-\d{2}(T.+(Z|[+-]\d{2}:\d{2}))?$/.test(text);
}

/** What is looked at. */
export const range = computed(() => {
  const { query } = place.value;
  const today = day(now.value, zone.value);
  const [since, until] = [query.get("since"), query.get("until")];
  if (since || until) {
    const known = stretch(since && isTime(since) ? since : null, until && isTime(until) ? until : today);
    // What is no time goes to the server as it is, which says so.
    const asked = { ...known, since: since || null, until: until || today };
    const [first, last] = [since ? (known.since ? written(since) : since) : "the beginning", until ? written(known.until) : "today"];
    return { name: "custom", label: `${first} to ${first.length > 10 && last.slice(0, 10) === first.slice(0, 10) ? last.slice(11) : last}`, ...asked, today };
  }
  const [name, label, { hours, days = 1 }] = RANGES.find(([name]) => name === query.get("range")) ?? /** @type {typeof RANGES[0]} */ (RANGES.find(([name]) => name === USUAL));
  if (hours) {
    const to = floorTo(now.value, QUARTER_MS, zone.value) + QUARTER_MS;
    return { name, label, ...stretch(stamp(to - hours * HOUR_MS), stamp(to)), today };
  }
  const first = name === "all" ? null : name === "month" ? `${today.slice(0, 8)}01` : plus(today, 1 - days);
  return { name, label, ...stretch(first, today), today };
});

/** What came before it, of the same length; null for all time. @returns {Stretch | null} */
function earlier() {
  const { since, until, from, to, name } = range.value;
  if (since === null || from === null || Number.isNaN(to - from)) return null;
  if (name === "month") {
    const last = plus(since, -1);
    const first = `${last.slice(0, 8)}01`;
    const end = plus(first, daysOf(since, until) - 1);
    return stretch(first, end > last ? last : end);
  }
  if (!isDay(since) || !isDay(until)) return stretch(stamp(from - (to - from)), stamp(from));
  return stretch(plus(since, -daysOf(since, until)), plus(since, -1));
}
export const before = computed(earlier);

/** The same, as far as the range is over: what a sum so far is compared with. */
export const beforeSoFar = computed(() => {
  const [past, { from, to }] = [before.value, range.value];
  if (!past || past.from === null || from === null || to <= now.value) return past;
  const end = past.from + Math.max(QUARTER_MS, floorTo(now.value, QUARTER_MS, zone.value) - from);
  return end < past.to ? { ...past, until: stamp(end), to: end } : past;
});

/** Parameters of the API for what is looked at. */
export const asked = computed(() => parameters(range.value));

/**
 * Parameters of the API for a stretch of time, with the filters.
 * @param {{ since: string | null, until: string }} of @param {string[]} known filters that are asked by
 * @returns {Record<string, string>}
 */
export function parameters({ since, until }, known = FILTERS) {
  const timezone = place.value.query.get("timezone") ?? ownZone;
  return { until, timezone, ...(since ? { since } : {}), ...Object.fromEntries(filters.value.filter(({ name }) => known.includes(name)).map(({ name, value }) => [name, value])) };
}

/** Parameters of the API for what is looked at, with some of the filters. @param {string[]} known */
export function only(known) {
  return parameters(range.value, known);
}
