// Days and times of a zone. Pure.

export const QUARTER_MS = 900_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

/** Making one takes longer than all it is asked for. @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** A time in words. @param {number} at @param {string} zone @param {Intl.DateTimeFormatOptions} options @param {string} locale */
export function words(at, zone, options, locale = "en-GB") {
  if (Number.isNaN(at)) return "";
  const key = `${locale} ${zone} ${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat(locale, { timeZone: zone, ...options });
    formats.set(key, format);
  }
  return format.format(at);
}

/** @type {Intl.DateTimeFormatOptions} */
const ALL = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" };

/** The clock on the wall at this instant, as if it were one of UTC. @param {number} at @param {string} zone */
function wall(at, zone) {
  return zone === "UTC" ? at : Date.parse(`${words(at, zone, ALL, "sv-SE").replace(" ", "T")}Z`);
}

/** A day of the zone, as `2026-01-31`. @param {number} at @param {string} zone */
export function day(at, zone) {
  return new Date(wall(at, zone)).toISOString().slice(0, 10);
}

/** Hours since the day began on the zone's clock, 0 to 24. @param {number} at @param {string} zone */
export function hour(at, zone) {
  return (wall(at, zone) % DAY_MS) / HOUR_MS;
}

/** Days later, of the calendar. @param {string} date @param {number} days */
export function plus(date, days) {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

/** Days from the first to the last, both counted. @param {string} since @param {string} until */
export function daysOf(since, until) {
  return Math.round((Date.parse(until) - Date.parse(since)) / DAY_MS) + 1;
}

/** The instant at which a day begins. @param {string} date @param {string} zone */
export function startOf(date, zone) {
  const asUtc = Date.parse(`${date}T00:00:00Z`);
  // The offset at the guess may be that of the other side of a change of the clocks.
  const guess = asUtc - (wall(asUtc, zone) - asUtc);
  return guess + (asUtc - wall(guess, zone));
}

/** The latest full quarter or hour of the zone's clock. @param {number} at @param {number} step in milliseconds @param {string} zone */
export function floorTo(at, step, zone) {
  const whole = at - (at % 1000);
  return whole - (wall(whole, zone) % step);
}

/** RFC 3339, in UTC, to the second. @param {number} at */
export function stamp(at) {
  return `${new Date(at).toISOString().slice(0, 19)}Z`;
}

/** Whether it is a day and no time. @param {string} text */
export function isDay(text) {
  return /^\d{4}-\d{2}-\d{2}$/.test(text);
}
