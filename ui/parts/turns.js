// A session's turns: how large the prompt was, what it led to and what that cost; each opens to its waterfall.
import { html, useMemo, useState } from "../lib.js";
import { bytes, cost, duration, exactCost, moment, whole } from "../format.js";
import { now, zone } from "../state.js";
import { inOrder, instant, nanoOf } from "../session_shape.js";
import { copyable } from "./copy.js";
import { Waterfall } from "./waterfall.js";

/** Turns that are shown at first, and how many more with each click. */
const PAGE = 50;

/** @typedef {{ turn: string, started_at: string | null, ended_at: string | null, prompt_bytes: number | null, own: any[], requests: any[], calls: any[], nano: bigint, unpriced: number, failed: number, took: number | null }} Told */

/** Turns with what belongs to them; what belongs to none is a last one without a name. @param {any[]} turns @param {any[]} requests @param {any[]} calls @returns {Told[]} */
function told(turns, requests, calls) {
  /** @type {Map<string, { requests: any[], calls: any[] }>} */
  const owned = new Map();
  const of = (/** @type {string | null} */ turn) => {
    const known = owned.get(turn ?? "") ?? { requests: [], calls: [] };
    owned.set(turn ?? "", known);
    return known;
  };
  for (const request of requests) of(request.turn).requests.push(request);
  for (const call of calls) of(call.turn).calls.push(call);
  const named = new Set(turns.map(({ turn }) => turn));
  const others = [...owned].filter(([turn]) => !named.has(turn)).map(([turn]) => ({ turn, started_at: null, ended_at: null, prompt_bytes: null }));
  return [...inOrder(turns), ...others].map((turn) => {
    const { requests, calls } = of(turn.turn);
    const begin = instant(turn.started_at);
    const end = Math.max(instant(turn.ended_at) ?? 0, ...[...requests, ...calls].slice(-200).map(({ started_at, duration_ms }) => (instant(started_at) ?? 0) + (duration_ms ?? 0)));
    return { ...turn, own: named.has(turn.turn) ? [turn] : [], requests, calls, nano: requests.reduce((sum, { cost_nano_usd }) => sum + nanoOf(cost_nano_usd), 0n), unpriced: requests.filter(({ cost_nano_usd }) => cost_nano_usd === null).length,
      failed: calls.filter(({ outcome }) => outcome && outcome !== "ok").length, took: begin === null || end < begin ? null : end - begin };
  });
}

/** A turn without priced requests has no known cost. @param {Told} turn */
function known({ nano, requests, unpriced }) {
  return requests.length === unpriced ? null : nano;
}

/** @param {{ turns: any[], requests: any[], calls: any[], names: Map<string, string>, asked: Map<string, any[]>, askers: Map<string, any> }} properties requests in their order */
export function Turns({ turns, requests, calls, names, asked, askers }) {
  const all = useMemo(() => told(turns, requests, calls), [turns, requests, calls]);
  const [open, setOpen] = useState(/** @type {string | null} */ (null));
  const [most, setMost] = useState(PAGE);
  if (all.length === 0) return html`<p class="empty">No witness told of turns.</p>`;
  const largest = all.reduce((largest, { nano }) => (nano > largest ? nano : largest), 1n);
  const head = ["turn", "started_at", "duration_ms", "prompt_bytes", "requests", "tool_calls", "failed_tool_calls", "cost_nano_usd"];
  const table = () => [head, ...all.map(({ turn, started_at, took, prompt_bytes, requests, calls, failed, nano, unpriced }) => [turn, started_at ?? "", String(took ?? ""), String(prompt_bytes ?? ""), String(requests.length), String(calls.length), String(failed), requests.length === unpriced ? "" : String(nano)])];
  return html`<div class="tools">${copyable("turns", table)}</div><table class="rows turns">
    <thead><tr><th scope="col">Turn</th><th scope="col" class="wide">At</th><th scope="col" class="number wide">Took</th><th scope="col" class="number wide">Prompt</th><th scope="col" class="number wide">Requests</th><th scope="col" class="number">Tools</th><th scope="col" class="wide"><span class="hidden">Share</span></th><th scope="col" class="number">Cost</th></tr></thead>
    <tbody>${all.slice(0, most).map((turn) => html`<tr key=${turn.turn} data-row>
        <th scope="row"><button type="button" class="link" aria-expanded=${open === turn.turn} onClick=${() => setOpen(open === turn.turn ? null : turn.turn)}><span aria-hidden="true">${open === turn.turn ? "▾" : "▸"}</span> ${names.get(turn.turn) ?? "no turn"}</button></th>
        <td class="muted wide" title=${turn.started_at}>${turn.started_at ? moment(turn.started_at, zone.value, now.value) : ""}</td><td class="number wide">${turn.took === null ? "" : duration(turn.took)}</td>
        <td class="number wide">${turn.prompt_bytes === null ? "" : bytes(turn.prompt_bytes)}</td><td class="number wide">${whole(turn.requests.length)}</td>
        <td class="number">${turn.failed > 0 && html`<span class="bad">${whole(turn.failed)} failed of</span> `}${whole(turn.calls.length)}</td>
        <td class="costs wide"><span class="track" aria-hidden="true"><i style=${{ width: `${Number((turn.nano * 1000n) / largest) / 10}%` }}></i></span></td>
        <td class="number" title=${exactCost(known(turn), turn.unpriced)}>${cost(known(turn), turn.unpriced)}</td></tr>
      ${open === turn.turn && html`<tr key=${`${turn.turn} open`}><td colspan="8" class="opened"><${Waterfall} title=${names.get(turn.turn) ?? "no turn"} turns=${turn.own} requests=${turn.requests} calls=${turn.calls} asked=${asked} askers=${askers} /></td></tr>`}`)}</tbody></table>
    ${all.length > most && html`<p class="note"><button type="button" onClick=${() => setMost(most + PAGE)}>${whole(Math.min(PAGE, all.length - most))} more</button> of ${whole(all.length - most)}</p>`}`;
}
