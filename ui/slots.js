// The bars of a chart in time, and which series stand in them.
import { DAY_MS, HOUR_MS, QUARTER_MS, day, floorTo, hour, plus, stamp, startOf, words } from "./calendar.js";

/**
 * A bar's place in time.
 * @typedef {object} Slot
 * @property {string} label what it is, in words
 * @property {string} tick what it is, below the axis
 * @property {number} unit its number among bars of its length: labels stand at multiples
 * @property {string} since first day, or its beginning @property {string} until last day, or its end, excluded
 * @property {string} [date] its first day, where a bar is a day or a week
 * @property {number} start @property {number} end
 */
/** @typedef {"quarter_hourly" | "hourly" | "daily" | "weekly"} Grain */
/** @typedef {import("./parts/chart.js").Series} Series */

const MOST_SERIES = 6;
/** People are not ranked: theirs stand by name. */
const UNRANKED = ["user", "team"];

/** A row's name for its time. @type {Record<Grain, string>} */
const ROW_KEY = { quarter_hourly: "quarter_hour", hourly: "hour", daily: "date", weekly: "week" };

/** How many bars lie between labels. @type {Record<Grain, number[]>} */
export const STEPS = {
  quarter_hourly: [1, 2, 4, 8, 12, 24, 48, 96], hourly: [1, 2, 3, 6, 12, 24, 48, 72, 168], daily: [1, 2, 7, 14, 28, 56], weekly: [1, 2, 4, 8, 13, 26, 52, 104],
};

/** How long a bar is: quarter-hours to six hours, hours to seven days, days to 120 days, weeks beyond. @param {number} from @param {number} to @returns {Grain} */
export function grain(from, to) {
  const length = to - from;
  if (length <= 6 * HOUR_MS) return "quarter_hourly";
  // A day may have 25 hours.
  if (length <= 7 * DAY_MS + HOUR_MS) return "hourly";
  return length <= 120 * DAY_MS + HOUR_MS ? "daily" : "weekly";
}

/** @param {string} date @param {Intl.DateTimeFormatOptions} [more] */
function short(date, more = {}) {
  return words(Date.parse(`${date}T00:00:00Z`), "UTC", { day: "numeric", month: "short", ...more });
}

/** @param {number} at @param {string} zone */
function clock(at, zone) {
  return words(at, zone, { hour: "2-digit", minute: "2-digit" });
}

/**
 * Every bar of a stretch of time, also those without a row.
 * @param {number} from @param {number} to @param {Grain} by @param {string} zone
 * @returns {Slot[]}
 */
export function slots(from, to, by, zone) {
  const all = [];
  if (by === "quarter_hourly" || by === "hourly") {
    const [step, aDay] = by === "hourly" ? [HOUR_MS, 24] : [QUARTER_MS, 96];
    const first = day(from, zone);
    for (let start = floorTo(from, step, zone); start < to; start += step) {
      const date = day(start, zone);
      const part = Math.round(hour(start, zone) * (aDay / 24));
      const days = Math.round((Date.parse(date) - Date.parse(first)) / DAY_MS);
      all.push({ get label() { return `${short(date, { weekday: "short" })}, ${clock(start, zone)} to ${clock(start + step, zone)}`; }, tick: part === 0 ? short(date) : clock(start, zone), unit: days * aDay + part,
        since: stamp(start), until: stamp(start + step), start, end: start + step });
    }
    return all;
  }
  const [first, last] = [day(from, zone), day(to - 1, zone)];
  /** @type {Intl.DateTimeFormatOptions} */
  const year = first.slice(0, 4) === last.slice(0, 4) ? {} : { year: "2-digit" };
  const length = by === "daily" ? 1 : 7;
  const weekday = by === "daily" ? 0 : (new Date(`${first}T00:00:00Z`).getUTCDay() + 6) % 7;
  for (let date = plus(first, -weekday); date <= last; date = plus(date, length)) {
    const end = plus(date, length - 1);
    all.push({ date, label: by === "daily" ? short(date, { weekday: "short", ...year }) : `week of ${short(date, year)}`, tick: short(date, year), unit: all.length,
      since: date < first ? first : date, until: end > last ? last : end, start: startOf(date, zone), end: startOf(plus(date, length), zone) });
  }
  return all;
}

/** Finds the bar that a row belongs to, or -1. @param {Grain} by @param {Slot[]} bars @returns {(row: any) => number} */
function finder(by, bars) {
  const key = ROW_KEY[by];
  if (by === "daily" || by === "weekly") {
    const places = new Map(bars.map(({ date }, place) => [date, place]));
    return (row) => places.get(row[key]) ?? -1;
  }
  return (row) => {
    const at = Date.parse(row[key] ?? "");
    let [low, high] = [0, bars.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (bars[middle].end <= at) low = middle + 1;
      else high = middle;
    }
    return low < bars.length && bars[low].start <= at ? low : -1;
  };
}

/** Colours stay with their names over all views of a visit. @type {Map<string, number>} */
const colors = new Map();

/**
 * A colour for each name, the larger first: its own, or while another in the same chart has it, a free one.
 * @param {string} dimension @param {string[]} names at most six
 */
function palette(dimension, names) {
  const taken = new Set();
  return names.map((name) => {
    const key = `${dimension}\0${name}`;
    if (!colors.has(key)) colors.set(key, [...colors.keys()].filter((known) => known.startsWith(`${dimension}\0`)).length % MOST_SERIES);
    let color = colors.get(key) ?? 0;
    while (taken.has(color) && taken.size < MOST_SERIES) color = (color + 1) % MOST_SERIES;
    taken.add(color);
    return `--series-${color + 1}`;
  });
}

/**
 * The stacks of a report that has a breakdown: the largest six, and what is left.
 * @param {any[]} rows @param {Grain} by @param {string} dimension @param {Slot[]} bars
 * @param {(name: string) => string} label
 * @returns {Series[]}
 */
export function stacks(rows, by, dimension, bars, label) {
  const find = finder(by, bars);
  /** @type {Map<string, { values: number[], unpriced: number[] }>} */
  const series = new Map();
  for (const row of rows) {
    const at = find(row);
    if (at < 0) continue;
    for (const part of row.breakdown ?? []) {
      const name = part[dimension] ?? "";
      const sums = series.get(name) ?? { values: bars.map(() => 0), unpriced: bars.map(() => 0) };
      sums.values[at] += part.cost_usd ?? 0;
      sums.unpriced[at] += part.unpriced_requests ?? 0;
      series.set(name, sums);
    }
  }
  const sum = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value, 0);
  const sorted = [...series].filter(([name]) => name !== "").sort(([, one], [, other]) => sum(other.values) - sum(one.values));
  const shown = sorted.slice(0, MOST_SERIES);
  if (UNRANKED.includes(dimension)) shown.sort(([one], [other]) => one.localeCompare(other));
  const rest = sorted.slice(shown.length);
  const own = palette(dimension, shown.map(([name]) => name));
  /** @type {Series[]} */
  const all = shown.map(([name, sums], place) => ({ name, label: label(name), color: own[place], ...sums }));
  const together = (/** @type {"values" | "unpriced"} */ key) => bars.map((_, at) => rest.reduce((sum, [, sums]) => sum + sums[key][at], 0));
  if (rest.length) all.push({ name: "\0", label: rest.length === 1 ? "1 other" : `${rest.length} others`, color: "--series-7", values: together("values"), unpriced: together("unpriced") });
  const nobody = series.get("");
  if (nobody && sum(nobody.values) + sum(nobody.unpriced) > 0) all.push({ name: "", label: "unattributed", color: "--unattributed", ...nobody });
  return all;
}

/** Sums by bar, of the known cost unless of something else. @param {any[]} rows @param {Grain} by @param {Slot[]} bars @param {(row: any) => number} of */
export function sums(rows, by, bars, of = (row) => row.cost_usd ?? 0) {
  const find = finder(by, bars);
  const spent = bars.map(() => 0);
  for (const row of rows) {
    const at = find(row);
    if (at >= 0) spent[at] += of(row);
  }
  return spent;
}
