// The page's pure parts: how figures are written, what a month comes to, and the bars of a chart.
import assert from "node:assert/strict";
import test from "node:test";
import { ago, bytes, cost, duration, exactCost, exactUsd, last, percent, tokens, usd } from "../../ui/format.js";
import { HOUR_MS, day, floorTo, stamp, startOf } from "../../ui/calendar.js";
import { monthEnd } from "../../ui/forecast.js";
import { grain, slots, stacks, sums } from "../../ui/slots.js";

test("dollars have the digits that matter", () => {
  for (const [value, text] of [[0, "$0"], [1234.4, "$1,234"], [999.995, "$1,000"], [999.99, "$999.99"], [12.345, "$12.35"], [0.99995, "$1.00"],
    [0.99994, "$0.9999"], [0.012345, "$0.0123"], [0.00123456, "$0.0012"], [0.0000000041, "$0.000000004"], [-3.5, "-$3.50"], [null, "unknown"], [undefined, "unknown"]]) {
    assert.equal(usd(value), text, String(value));
  }
});

test("a cost tells what is missing in it", () => {
  for (const [value, unpriced, text] of [[0, 0, "$0"], [null, 0, "unknown"], [null, 3, "unknown"], [0, 3, "unknown"], [0n, 1, "unknown"], [1.5, 0, "$1.50"], [1.5, 2, "$1.50 +?"], [1_500_000_000n, 2, "$1.50 +?"], [undefined, undefined, "unknown"], [0, undefined, "$0"]]) {
    assert.equal(cost(value, unpriced), text, `${value}, ${unpriced}`);
  }
  assert.deepEqual([exactCost("5", 0), exactCost("5", 1), exactCost(5n, 2000), exactCost(null, 2), exactCost("0", 2), exactCost("0", 0)],
    ["$0.000000005", "$0.000000005 and 1 request of unknown price", "$0.000000005 and 2,000 requests of unknown price", "unknown price", "unknown price", "$0.000000000"]);
});

test("bars carry what is of unknown price", () => {
  const bars = slots(Date.parse("2026-11-25T00:00:00Z"), Date.parse("2026-11-26T00:00:00Z"), "hourly", "UTC");
  const part = (agent, cost_usd, unpriced_requests) => ({ agent, cost_usd, unpriced_requests });
  const rows = [{ hour: "2026-11-25T01:00:00Z", cost_usd: 2, unpriced_requests: 5, breakdown: [part("a", 2, 1), part("b", null, 3), part(null, null, 1)] }];
  const series = stacks(rows, "hourly", "agent", bars, (name) => name);
  assert.deepEqual(series.map(({ label, values, unpriced }) => [label, cost(values[1], unpriced[1]), cost(values[0], unpriced[0])]),
    [["a", "$2.00 +?", "$0"], ["b", "unknown", "$0"], ["unattributed", "unknown", "$0"]]);
  assert.equal(sums(rows, "hourly", bars, (row) => row.unpriced_requests)[1], 5);
  const many = stacks([{ hour: "2026-11-25T00:00:00Z", breakdown: ["a", "b", "c", "d", "e", "f", "g", "h"].map((agent) => part(agent, null, 1)) }], "hourly", "agent", bars, (name) => name);
  assert.deepEqual([many.at(-1).label, many.at(-1).unpriced[0]], ["2 others", 2]);
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

test("days begin and hours are cut by the zone's clock", () => {
  assert.equal(stamp(startOf("2026-10-25", "Europe/Berlin")), "2026-10-24T22:00:00Z");
  assert.equal(stamp(startOf("2026-10-26", "Europe/Berlin")), "2026-10-25T23:00:00Z");
  assert.equal(stamp(startOf("2026-11-25", "Asia/Kathmandu")), "2026-11-24T18:15:00Z");
  assert.equal(stamp(floorTo(Date.parse("2026-11-25T14:20:30.5Z"), HOUR_MS, "Asia/Kathmandu")), "2026-11-25T14:15:00Z");
  assert.equal(day(Date.parse("2026-11-25T23:30:00Z"), "Asia/Tokyo"), "2026-11-26");
});

test("a bar is as long as the range allows, and all of them make up the range", () => {
  const zone = "Europe/Berlin";
  const bars = (since, until) => {
    const [from, to] = [startOf(since, zone), startOf(until, zone)];
    const by = grain(from, to);
    return [by, slots(from, to, by, zone)];
  };
  const [hourly, long] = bars("2026-10-25", "2026-10-26");
  assert.deepEqual([hourly, long.length], ["hourly", 25], "the day on which clocks are set back");
  assert.equal(bars("2026-03-29", "2026-03-30")[1].length, 23, "and forward");
  assert.equal(bars("2026-10-20", "2026-10-27")[0], "hourly", "seven days, one of 25 hours");
  assert.equal(grain(0, 6 * HOUR_MS), "quarter_hourly");
  const [daily, days] = bars("2026-10-01", "2026-11-01");
  assert.deepEqual([daily, days.length, days[0].since, days[30].until], ["daily", 31, "2026-10-01", "2026-10-31"]);
  const [weekly, weeks] = bars("2026-01-01", "2026-11-01");
  assert.deepEqual([weekly, weeks[0].since, weeks.at(-1)?.until], ["weekly", "2026-01-01", "2026-10-31"], "cut at the range's ends");
  for (const [, all] of [[hourly, long], [daily, days], [weekly, weeks]]) all.slice(1).forEach((bar, place) => assert.equal(bar.start, all[place].end));
});

test("stacks are six, others and nobody's, and add up", () => {
  const [from, to] = [Date.parse("2026-11-24T00:00:00Z"), Date.parse("2026-11-26T00:00:00Z")];
  const bars = slots(from, to, "hourly", "UTC");
  const names = ["a", "b", "c", "d", "e", "f", "g", "h", null];
  const rows = [{ hour: "2026-11-24T01:00:00+01:00", breakdown: names.map((user, place) => ({ user, cost_usd: 10 - place })) }, { hour: "2026-11-27T00:00:00Z", breakdown: [{ user: "z", cost_usd: 99 }] }];
  const series = stacks(rows, "hourly", "user", bars, (name) => name);
  assert.deepEqual(series.map(({ label }) => label), ["a", "b", "c", "d", "e", "f", "2 others", "unattributed"]);
  assert.equal(series.reduce((sum, { values }) => sum + values[0], 0), 10 + 9 + 8 + 7 + 6 + 5 + 4 + 3 + 2);
  assert.equal(new Set(series.map(({ color }) => color)).size, 8, "no colour twice");
  const fewer = stacks([{ hour: "2026-11-24T00:00:00Z", breakdown: [{ user: "c", cost_usd: 1 }] }], "hourly", "user", bars, (name) => name);
  assert.equal(fewer[0].color, series[2].color, "the same name has the same colour");
  assert.deepEqual(sums([{ hour: "2026-11-25T23:00:00Z", cost_usd: 2 }], "hourly", bars).slice(-2), [0, 2]);
});
