// What one bar of a session is: a turn, a request or a tool call, with all that is known of it.
import { html } from "../lib.js";
import { UNKNOWN, bytes, clock, duration, exactUsd, percent, tokens, usd, whole } from "../format.js";
import { zone } from "../state.js";
import { sent, written } from "../session_shape.js";
import { witnessName } from "./names.js";

/** @param {string | null} time */
function at(time) {
  return time ? clock(time, zone.value, true) : "no time told";
}

/** @param {number | null | undefined} ms */
function took(ms) {
  return ms === null || ms === undefined ? UNKNOWN : duration(ms);
}

/** What a bar is called in one line. @param {import("../timeline.js").Bar} bar */
export function title({ kind, fact, from, to }) {
  const when = at(fact.started_at);
  if (kind === "turn") return `${when} turn, ${duration(to - from)}`;
  if (kind === "request") return `${when} ${fact.model}, ${tokens(sent(fact))} sent, ${usd(fact.cost_usd)}`;
  return `${when} ${fact.name ?? "tool"} ${fact.target ?? ""} ${took(fact.duration_ms)} ${fact.outcome ?? ""}`;
}

/** @param {import("../timeline.js").Bar} bar @param {{ calls: any[], cost: bigint | null }} of its calls, and what the request that asked for it cost @returns {[string, any, string?][]} */
function told({ kind, fact, from, to }, { calls, cost }) {
  if (kind === "turn") return [["At", at(fact.started_at), fact.started_at], ["Took", duration(to - from)], ["Prompt", fact.prompt_bytes === null ? UNKNOWN : bytes(fact.prompt_bytes), `${whole(fact.prompt_bytes)} bytes`]];
  if (kind === "request") {
    return [["At", at(fact.started_at), fact.started_at], ["Took", took(fact.duration_ms)], ["First token", took(fact.ttft_ms)], ["Cost", usd(fact.cost_usd), exactUsd(fact.cost_nano_usd)],
      ["Cache read", tokens(fact.cache_read_tokens), whole(fact.cache_read_tokens)], ["Cache written", tokens(written(fact)), whole(written(fact))], ["Fresh input", tokens(fact.input_tokens), whole(fact.input_tokens)],
      ["Output", tokens(fact.output_tokens), whole(fact.output_tokens)], ["From the cache", sent(fact) > 0 ? percent(fact.cache_read_tokens / sent(fact)) : UNKNOWN],
      ["Asked for", calls.length === 0 ? "no tool" : calls.map(({ name }) => name ?? "tool").join(", ")], ["Ended", fact.stop_reason ?? UNKNOWN],
      ...["effort", "speed", "query_source", "attempts"].flatMap((name) => (fact[name] === null || fact[name] === undefined ? [] : [/** @type {[string, any]} */ ([name.replace("_", " "), String(fact[name])])])),
      ["Told by", fact.witnesses.map(witnessName).join(", ")]];
  }
  return [["At", at(fact.started_at), fact.started_at], ["Took", took(fact.duration_ms)], ["Target", fact.target ?? UNKNOWN, fact.target ?? ""], ["Outcome", [fact.outcome ?? UNKNOWN, fact.error_kind?.replaceAll("_", " ")].filter(Boolean).join(", ")],
    ["Sent", fact.input_bytes === null ? UNKNOWN : bytes(fact.input_bytes)], ["Result", fact.result_bytes === null ? UNKNOWN : bytes(fact.result_bytes)],
    ["Asked for by", cost === null ? "no known request" : `a request of ${usd(Number(cost) / 1e9)}`, cost === null ? "" : exactUsd(String(cost))], ["Told by", fact.witnesses.map(witnessName).join(", ")]];
}

/** @param {{ bar: import("../timeline.js").Bar | null, calls: any[], cost: bigint | null }} properties */
export function Details({ bar, calls, cost }) {
  if (!bar) return html`<p class="note details">Click a bar, or go through them with ↑ ↓, to see what it is.</p>`;
  const name = { turn: "Turn", request: bar.fact.model, call: bar.fact.name ?? "tool" }[bar.kind];
  return html`<section class="details" aria-live="polite"><h3 class=${bar.isBad ? "bad" : ""}>${name} ${bar.fact.subagent && html`<span class="muted">sub-agent ${bar.fact.subagent.slice(0, 8)}</span>`}</h3>
    <dl>${told(bar, { calls, cost }).map(([term, value, exact]) => html`<div key=${term}><dt>${term}</dt><dd title=${exact}>${value}</dd></div>`)}</dl></section>`;
}
