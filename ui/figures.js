// Figures for people; the exact value goes into the tooltip.

/** `$1,234` from a thousand on, `$12.34` from one, `$0.0123` below, two significant digits below a cent; null is unknown. */
export function usd(value) {
  if (value === null || value === undefined) return "unknown";
  const size = Math.abs(value);
  if (size === 0) return "$0.00";
  if (size >= 999.995) return "$" + Math.round(value).toLocaleString("en-US");
  if (size >= 0.99995) return "$" + value.toFixed(2);
  if (size >= 0.0099995) return "$" + value.toFixed(4);
  return "$" + Number(value.toPrecision(2)).toFixed(9).replace(/0+$/, "");
}

/** Nano-USD as a decimal string to all nine decimals. */
export function exactUsd(nano) {
  if (nano === null || nano === undefined) return "unknown price";
  const digits = nano.replace("-", "").padStart(10, "0");
  return `${nano.startsWith("-") ? "-" : ""}$${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

/** `812`, `41.2 k`, `1.23 M`: three significant digits from a thousand on. */
export function tokens(count) {
  if (count < 1000) return String(count);
  const units = ["k", "M", "G", "T"];
  let value = count;
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 999.5 && unit < units.length - 1);
  const decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(decimals)} ${units[unit]}`;
}

/** `4 m ago`, from an ISO time. */
export function ago(time, now) {
  if (!time) return "";
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return "now";
}
