// Figures for people; the exact value goes into the tooltip and the clipboard.
import { day, words } from "./calendar.js";

/** Kept: making one takes longer than a thousand figures. */
const GROUPED = new Intl.NumberFormat("en-US");

/** What stands where nothing is known. */
export const UNKNOWN = "unknown";

/**
 * `$1,234` from a thousand on, `$12.34` from one, `$0.0123` below, two significant digits below a cent; nothing is `$0`, null is unknown.
 * @param {number | null | undefined} value
 */
export function usd(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const size = Math.abs(value);
  const sign = value < 0 ? "-" : "";
  if (size === 0) return "$0";
  if (size >= 999.995) return `${sign}$${GROUPED.format(Math.round(size))}`;
  if (size >= 0.99995) return `${sign}$${size.toFixed(2)}`;
  if (size >= 0.0099995) return `${sign}$${size.toFixed(4)}`;
  return `${sign}$${Number(size.toPrecision(2)).toFixed(9).replace(/0+$/, "")}`;
}

/**
 * Nano-USD, a decimal string, to all nine decimals.
 * @param {string | null | undefined} nano
 */
export function exactUsd(nano) {
  if (nano === null || nano === undefined) return "unknown price";
  const digits = nano.replace("-", "").padStart(10, "0");
  return `${nano.startsWith("-") ? "-" : ""}$${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

/**
 * Whether nothing is known of a cost, though something was there.
 * @param {number | bigint | null | undefined} value @param {number} unpriced how many requests of unknown price are not in it
 */
export function isUnknown(value, unpriced) {
  return value === null || value === undefined || (unpriced > 0 && Number(value) === 0);
}

/** What is not in a cost, or nothing. @param {number} unpriced */
export function unsure(unpriced) {
  return unpriced > 0 ? `and ${GROUPED.format(unpriced)} ${unpriced === 1 ? "request" : "requests"} of unknown price` : undefined;
}

/**
 * A cost that some requests may be missing in: unknown where no price is known, else at least so much.
 * @param {number | bigint | null | undefined} value dollars, or nano-USD as a bigint
 * @param {number} [unpriced] how many requests of unknown price are not in it
 */
export function cost(value, unpriced = 0) {
  if (isUnknown(value, unpriced)) return UNKNOWN;
  return `${usd(typeof value === "bigint" ? Number(value) / 1e9 : value)}${unpriced > 0 ? " +?" : ""}`;
}

/** The same to all nine decimals, and what is missing in words. @param {string | bigint | null | undefined} nano @param {number} [unpriced] */
export function exactCost(nano, unpriced = 0) {
  if (nano === null || nano === undefined || isUnknown(BigInt(nano), unpriced)) return exactUsd(null);
  return [exactUsd(String(nano)), unsure(unpriced)].filter(Boolean).join(" ");
}

/** @param {number} value @param {string[]} units @param {number} from where the first unit begins */
function scaled(value, units, from) {
  if (Math.abs(value) < from) return String(value);
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (Math.abs(value) >= 999.5 && unit < units.length - 1);
  const size = Math.abs(value);
  const decimals = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
  return `${value.toFixed(decimals)} ${units[unit]}`;
}

/**
 * `812`, `41.2 k`, `1.23 M`: three significant digits from a thousand on.
 * @param {number | null | undefined} count
 */
export function tokens(count) {
  return count === null || count === undefined ? UNKNOWN : scaled(count, ["k", "M", "G", "T"], 1000);
}

/** @param {number | null | undefined} count */
export function whole(count) {
  return count === null || count === undefined ? UNKNOWN : GROUPED.format(count);
}

/** `3.4 kB` @param {number | null | undefined} count */
export function bytes(count) {
  if (count === null || count === undefined) return UNKNOWN;
  return count < 1000 ? `${count} B` : scaled(count, ["kB", "MB", "GB", "TB"], 1000);
}

/**
 * `12 ms`, `2.3 s`, `4 m 12 s`, `3 h 05 m`, `2 d 4 h`.
 * @param {number | null | undefined} ms
 */
export function duration(ms) {
  if (ms === null || ms === undefined) return UNKNOWN;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} m`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** @param {number | null | undefined} share of 1 */
export function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return UNKNOWN;
  const value = share * 100;
  return `${value > 0 && value < 0.95 ? value.toFixed(1) : Math.round(value)} %`;
}

/**
 * `4 m ago`, from an ISO time.
 * @param {string | null | undefined} time
 * @param {number} now
 */
export function ago(time, now) {
  if (!time) return "";
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000);
  for (const [size, unit] of /** @type {[number, string][]} */ ([[86400, "d"], [3600, "h"], [60, "m"]])) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return "now";
}

/**
 * `14:03:11` in a zone.
 * @param {string | number} time
 * @param {string} zone
 * @param {boolean} withSeconds
 */
export function clock(time, zone, withSeconds = false) {
  return words(new Date(time).getTime(), zone, { hour: "2-digit", minute: "2-digit", ...(withSeconds ? { second: "2-digit" } : {}) });
}

/** `14:05` of today, `Tue 14:05` of the last week, `24 Sept 14:05` before. @param {string | number} time @param {string} zone @param {number} now */
export function moment(time, zone, now) {
  const at = new Date(time).getTime();
  if (Number.isNaN(at)) return UNKNOWN;
  if (day(at, zone) === day(now, zone)) return clock(time, zone);
  return `${words(at, zone, now - at < 6 * 86_400_000 ? { weekday: "short" } : { day: "numeric", month: "short" })} ${clock(time, zone)}`;
}

/** The last part of a path. @param {string | null | undefined} path */
export function last(path) {
  return (path ?? "").split(/[/\\]/).filter(Boolean).pop() ?? "";
}
