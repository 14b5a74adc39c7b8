// The bars of a chart in time, and which series stand in them.
import { daysOf, plus } from "./state.js";

/** @typedef {import("./parts/chart.js").Slot} Slot */
/** @typedef {import("./parts/chart.js").Series} Series */

const MOST_SERIES = 6;

/** How long a bar is: days to 120 days, weeks to two years, months beyond. @param {string} since @param {string} until */
export function grain(since, until) {
  const days = daysOf(since, until);
  return days <= 120 ? "daily" : days <= 731 ? "weekly" : "monthly";
}

/** @param {string} date */
function short(date) {
  return new Date(`${date}T00:00:00Z`).toLocaleDateString("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });
}

/**
 * Every bar from the first to the last day, also those without a row.
 * @param {string} since @param {string} until @param {string} by @param {string} today
 * @returns {(Slot & { key: string })[]}
 */
export function slots(since, until, by, today) {
  const all = [];
  if (by === "daily") {
    for (let date = since; date <= until; date = plus(date, 1)) all.push({ key: date, label: short(date), from: date, until: date, isPartial: date === today });
  } else if (by === "weekly") {
    const weekday = (new Date(`${since}T00:00:00Z`).getUTCDay() + 6) % 7;
    for (let date = plus(since, -weekday); date <= until; date = plus(date, 7)) {
      const last = plus(date, 6);
      all.push({ key: date, label: `week of ${short(date)}`, from: date < since ? since : date, until: last > until ? until : last, isPartial: last >= today });
    }
  } else {
    for (let month = since.slice(0, 7); month <= until.slice(0, 7); month = plus(`${month}-28`, 7).slice(0, 7)) {
      const last = plus(`${plus(`${month}-28`, 7).slice(0, 7)}-01`, -1);
      const label = new Date(`${month}-01T00:00:00Z`).toLocaleDateString("en-GB", { timeZone: "UTC", month: "short", year: "numeric" });
      all.push({ key: month, label, from: `${month}-01` < since ? since : `${month}-01`, until: last > until ? until : last, isPartial: last >= today });
    }
  }
  return all;
}

const ROW_KEY = /** @type {Record<string, string>} */ ({ daily: "date", weekly: "week", monthly: "month" });

/** Colours stay with their names over all views of a visit. @type {Map<string, number>} */
const colors = new Map();

/** @param {string} dimension @param {string} name */
export function colorOf(dimension, name) {
  if (name === "\0" || name === "") return "--series-7";
  const key = `${dimension}\0${name}`;
  if (!colors.has(key)) colors.set(key, [...colors.keys()].filter((known) => known.startsWith(`${dimension}\0`)).length % MOST_SERIES);
  return `--series-${(colors.get(key) ?? 0) + 1}`;
}

/**
 * The stacks of a report that has a breakdown: the largest six, and what is left.
 * @param {any[]} rows @param {string} by @param {string} dimension @param {{ key: string }[]} bars
 * @param {(name: string) => string} label
 * @returns {Series[]}
 */
export function stacks(rows, by, dimension, bars, label) {
  const place = new Map(bars.map(({ key }, place) => [key, place]));
  /** @type {Map<string, number[]>} */
  const series = new Map();
  for (const row of rows) {
    const at = place.get(row[ROW_KEY[by]]);
    if (at === undefined) continue;
    for (const part of row.breakdown ?? []) {
      const name = part[dimension] ?? "";
      if (!series.has(name)) series.set(name, bars.map(() => 0));
      /** @type {number[]} */ (series.get(name))[at] += part.cost_usd ?? 0;
    }
  }
  const sum = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value, 0);
  const sorted = [...series].filter(([name]) => name !== "").sort(([, one], [, other]) => sum(other) - sum(one));
  const shown = sorted.length > MOST_SERIES ? sorted.slice(0, MOST_SERIES - 1) : sorted;
  const rest = sorted.slice(shown.length);
  const all = shown.map(([name, values]) => ({ name, label: label(name), color: colorOf(dimension, name), values }));
  if (rest.length) all.push({ name: "\0", label: `${rest.length} others`, color: "--series-7", values: bars.map((_, at) => rest.reduce((sum, [, values]) => sum + values[at], 0)) });
  const nobody = series.get("");
  if (nobody && sum(nobody) > 0) all.push({ name: "", label: "unattributed", color: "--series-7", values: nobody });
  return all;
}

/** Sums by bar. @param {any[]} rows @param {string} by @param {{ key: string }[]} bars */
export function sums(rows, by, bars) {
  const spent = new Map(rows.map((row) => [row[ROW_KEY[by]], row.cost_usd ?? 0]));
  return bars.map(({ key }) => spent.get(key) ?? 0);
}
