// The page's pure parts: how figures are written, and what a month comes to.
import assert from "node:assert/strict";
import test from "node:test";
import { ago, bytes, duration, exactUsd, last, percent, tokens, usd } from "../../ui/format.js";
import { monthEnd } from "../../ui/forecast.js";

test("dollars have the digits that matter", () => {
  for (const [value, text] of [[0, "$0"], [1234.4, "$1,234"], [999.995, "$1,000"], [999.99, "$999.99"], [12.345, "$12.35"], [0.99995, "$1.00"],
    [0.99994, "$0.9999"], [0.012345, "$0.0123"], [0.00123456, "$0.0012"], [0.0000000041, "$0.000000004"], [-3.5, "-$3.50"], [null, "unknown"], [undefined, "unknown"]]) {
    assert.equal(usd(value), text, String(value));
  }
});

test("the exact value is to the nano-dollar", () => {
  for (const [nano, text] of [["0", "$0.000000000"], ["1", "$0.000000001"], ["1366331800", "$1.366331800"], ["-5", "-$0.000000005"],
    ["9223372036854775807", "$9223372036.854775807"], [null, "unknown price"]]) {
    assert.equal(exactUsd(nano), text);
  }
});

test("counts and sizes have three digits", () => {
  for (const [count, text] of [[0, "0"], [999, "999"], [1000, "1.00 k"], [41_230, "41.2 k"], [999_499, "999 k"], [999_500, "1.00 M"], [88_100_000, "88.1 M"], [1.5e15, "1500 T"], [null, "unknown"]]) {
    assert.equal(tokens(count), text, String(count));
  }
  assert.deepEqual([bytes(999), bytes(3400)], ["999 B", "3.40 kB"]);
});

test("durations and shares", () => {
  for (const [ms, text] of [[0, "0 ms"], [999, "999 ms"], [999.6, "1.0 s"], [2300, "2.3 s"], [59_949, "59.9 s"], [59_951, "1 m 00 s"], [252_000, "4 m 12 s"],
    [3_599_600, "1 h 00 m"], [11_100_000, "3 h 05 m"], [187_200_000, "2 d 4 h"], [null, "unknown"]]) {
    assert.equal(duration(ms), text, String(ms));
  }
  assert.deepEqual([percent(0), percent(0.001), percent(0.0094), percent(0.0096), percent(1), percent(NaN)], ["0 %", "0.1 %", "0.9 %", "1 %", "100 %", "unknown"]);
  assert.deepEqual([ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T02:30:00Z")), ago(null, 0), last("/home/ana/app/"), last("C:\\code\\app"), last(null)], ["2 h ago", "", "app", "app", ""]);
});

test("a month ends where the last weeks lead", () => {
  const days = (values, month = "2026-11") => values.map((usd, day) => ({ date: `${month}-${String(day + 1).padStart(2, "0")}`, usd }));
  assert.equal(monthEnd(days([5, 5]), "2026-11-03"), null);
  // Ten dollars a day, nine days gone, today nothing yet: thirty days make 300, and nothing varies.
  assert.deepEqual(monthEnd(days(Array(9).fill(10)), "2026-11-10"), { usd: 300, band: 0, days: 9 });
  // More was spent today than a day comes to.
  assert.equal(monthEnd([...days(Array(9).fill(10)), { date: "2026-11-10", usd: 50 }], "2026-11-10").usd, 340);
  // A day without a row spent nothing.
  const rare = monthEnd([{ date: "2026-11-01", usd: 40 }], "2026-11-05");
  assert.equal(rare.usd, 40 + 10 * 26);
  assert.equal(rare.days, 4);
  assert.ok(rare.band > 0);
  // The last day of a month.
  assert.equal(monthEnd(days(Array(30).fill(10)), "2026-11-30").usd, 300);
});
