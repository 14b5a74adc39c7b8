// What the page makes of a session's facts: whose cost it is, which caches were rebuilt, where bars lie in time.
import assert from "node:assert/strict";
import test from "node:test";
import { askedFor, conversations, files, inOrder, partsOf, rebuilds, spent } from "../../ui/session_shape.js";
import { Folded, rows } from "../../ui/timeline.js";

const at = (seconds) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();
const request = (name, seconds, more = {}) => ({
  request: name, model: "m", turn: "t1", subagent: null, started_at: seconds === null ? null : at(seconds), duration_ms: 1000, is_sum: false, estimated: false, witnesses: [],
  input_tokens: 1, output_tokens: 1, cache_read_tokens: 0, cache_write_5m_tokens: 0, cache_write_1h_tokens: 0, cost_usd: 1e-9, cost_nano_usd: "1", ...more,
});
const call = (name, seconds, more = {}) => ({ tool_call: `${name}${seconds}`, name, target: null, turn: "t1", subagent: null, outcome: "ok", started_at: seconds === null ? null : at(seconds), duration_ms: 500, ...more });

test("a request's cost goes evenly to the calls it asked for, to the nano-dollar", () => {
  const requests = [request("a", 0, { cost_nano_usd: "10" }), request("b", 10, { cost_nano_usd: "7" }), request("c", 20, { cost_nano_usd: null }), request("s", null, { is_sum: true, cost_nano_usd: "5", turn: null })];
  const calls = [call("Read", 1, { target: "/x" }), call("Read", 2, { target: "/y" }), call("Bash", 3)];
  const all = spent(requests, askedFor(requests, calls), new Map([["t1", "turn 1"]]));
  assert.deepEqual([all.nano, all.requests, all.unpriced], [22n, 4, 1]);
  const [turn, none] = partsOf(all);
  assert.deepEqual([turn.label, turn.nano, turn.requests, none.label, none.nano], ["turn 1", 17n, 3, "no turn", 5n]);
  assert.deepEqual(files([...all.parts.values()]).map(({ tool, target, nano }) => [tool, target, nano]),
    [["answer", "", 7n], ["told only as a sum", "", 5n], ["Read", "/x", 4n], ["Read", "/y", 3n], ["Bash", "", 3n]]);
});

test("a call belongs to the request it names, else to the last before it of its turn and sub-agent", () => {
  const requests = [request("a", 0), request("sub", 5, { subagent: "x" }), request("b", 10), request("other", 11, { turn: "t2" })];
  const calls = [call("Named", 30, { request: "a" }), call("Gone", 12, { request: "unknown" }), call("Sub", 12, { subagent: "x" }), call("Early", -1), call("Untimed", null)];
  const asked = askedFor(requests, calls);
  assert.deepEqual([...asked].map(([name, calls]) => [name, calls.map(({ name }) => name)]), [["a", ["Named"]], ["b", ["Gone"]], ["sub", ["Sub"]]]);
});

test("a cache is rebuilt when most of it was not read and is written anew", () => {
  const cache = (read, written) => request("", 0, { cache_read_tokens: read, cache_write_1h_tokens: written });
  assert.deepEqual(rebuilds([cache(0, 9000), cache(9000, 500), cache(0, 9800), cache(9800, 10), cache(2000, 800), cache(200, 100)]),
    [false, false, true, false, false, false], "the first builds it, and one that got smaller (a compaction) rebuilds nothing");
  assert.deepEqual(rebuilds([cache(0, 500), cache(0, 500)]), [false, false], "too little to be kept");
});

test("each conversation has its own context, the main one first, without sums", () => {
  const all = conversations([request("a", 0, { subagent: "x" }), request("b", 1), request("c", 2, { is_sum: true }), request("d", 3, { subagent: "x" })]);
  assert.deepEqual(all.map(([name, requests]) => [name, requests.length]), [["", 1], ["x", 2]]);
});

test("what has no time comes first, as it was told", () => {
  assert.deepEqual(inOrder([request("b", 5), request("n", null), request("a", 1), request("m", null)]).map(({ request }) => request), ["n", "m", "a", "b"]);
});

test("pauses are folded, and time goes there and back", () => {
  const laid = rows({ turns: [{ turn: "t1", started_at: at(0), ended_at: null, prompt_bytes: 1 }], requests: [request("a", 0), request("b", 100), request("c", 10_000), request("d", 10_100)], tool_calls: [] });
  const folded = new Folded(laid);
  assert.deepEqual(folded.folds.map(({ length }) => length), [10_000_000 - 101_000]);
  assert.ok(folded.length < 250_000, `${folded.length}`);
  let before = -1;
  for (const seconds of [0, 50, 101, 2000, 9_999, 10_000, 10_050, 10_101]) {
    const place = folded.fold(Date.parse(at(seconds)));
    assert.ok(place > before, `${seconds} s lies after what was before it`);
    assert.ok(Math.abs(folded.unfold(place) - Date.parse(at(seconds))) <= 1, `${seconds} s`);
    before = place;
  }
  assert.equal(new Folded(rows({ turns: [], requests: [], tool_calls: [] })).length, 1000, "nothing happened");
});

test("calls side by side have rows of their own, sub-agents come below", () => {
  const laid = rows({ turns: [], requests: [request("a", 0), request("s", 2, { subagent: "abc" })], tool_calls: [call("One", 1, { duration_ms: 5000 }), call("Two", 2), call("Three", 7), call("Sub", 3, { subagent: "abc" })] });
  assert.deepEqual(laid.map(({ label, depth, bars }) => [label, depth, bars.length]), [["requests", 1, 1], ["tools", 2, 2], ["", 2, 1], ["sub-agent abc", 2, 1], ["tools", 3, 1]]);
  const many = rows({ turns: [], requests: [], tool_calls: Array.from({ length: 20 }, (_, place) => call("Many", 0, { tool_call: `c${place}`, duration_ms: 9000 })) });
  assert.deepEqual([many.length, many.reduce((sum, { bars }) => sum + bars.length, 0)], [6, 20], "what has no row lies over others");
});
