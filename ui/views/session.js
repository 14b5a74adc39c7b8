// What one session cost, and what of it: its shape, request by request, its tool calls and faults.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { ago, bytes, clock, duration, exactUsd, last, percent, tokens, usd, whole } from "../format.js";
import { address, now, zone } from "../state.js";
import { Figure } from "../parts/figure.js";
import { shown } from "../parts/states.js";

/** Requests in their order as bars of tokens, and the cost running up over them. @param {{ requests: any[] }} properties */
function Shape({ requests }) {
  const all = requests.toSorted((one, other) => (one.started_at ?? "").localeCompare(other.started_at ?? ""));
  if (all.length === 0) return html`<p class="empty">No witness told of requests: their number and cost are unknown.</p>`;
  const parts = (/** @type {any} */ request) => [request.cache_read_tokens, request.cache_write_5m_tokens + request.cache_write_1h_tokens, request.input_tokens, request.output_tokens];
  const sum = (/** @type {any} */ request) => parts(request).reduce((sum, count) => sum + count, 0);
  const largest = Math.max(...all.map(sum), 1);
  const cost = all.reduce((sum, request) => sum + (request.cost_usd ?? 0), 0);
  const wide = 1000 / all.length;
  let spent = 0;
  const line = all.map((request, place) => `${(place + 0.5) * wide},${200 - (200 * (spent += request.cost_usd ?? 0)) / (cost || 1)}`).join(" ");
  return html`<svg class="shape" viewBox="0 0 1000 200" preserveAspectRatio="none" role="img" aria-label=${`${all.length} requests by tokens, and the cost running up`}>
    ${all.map((request, place) => {
      let top = 200;
      return html`<g key=${request.request}><title>${`${clock(request.started_at ?? 0, zone.value, true)} ${request.model}: ${tokens(sum(request))} tokens, ${usd(request.cost_usd)}`}</title>
        ${parts(request).map((count, kind) => {
          const high = (200 * count) / largest;
          top -= high;
          return count > 0 && html`<rect key=${kind} x=${place * wide + wide * 0.06} y=${top} width=${wide * 0.88} height=${high} class=${`kind-${kind}`} />`;
        })}</g>`;
    })}
    <polyline points=${line} class="running" /></svg>
  <ul class="legend">${[["cache read", "--cache-read"], ["cache write", "--cache-write"], ["fresh input", "--fresh-input"], ["output", "--output"]].map(([name, color]) => html`<li key=${name}><i style=${{ background: `var(${color})` }}></i>${name}</li>`)}<li><i class="line"></i>cost so far</li></ul>`;
}

/** @param {{ calls: any[] }} properties */
function Calls({ calls }) {
  if (calls.length === 0) return html`<p class="empty">No tool calls.</p>`;
  return html`<table class="rows"><thead><tr><th scope="col">At</th><th scope="col">Tool</th><th scope="col">Target</th><th scope="col">Outcome</th><th scope="col" class="number">Took</th><th scope="col" class="number wide">Result</th></tr></thead>
    <tbody>${calls.slice(0, 500).map((call) => html`<tr key=${call.tool_call}><td class="muted">${call.started_at ? clock(call.started_at, zone.value, true) : ""}</td><td>${call.name}</td>
      <td class="grow muted" title=${call.target}>${last(call.target)}</td><td class=${call.outcome && call.outcome !== "ok" ? "bad" : ""}>${call.outcome ?? "unknown"}${call.error_kind ? `, ${call.error_kind}` : ""}</td>
      <td class="number">${call.duration_ms === null ? "" : duration(call.duration_ms)}</td><td class="number wide">${call.result_bytes === null ? "" : bytes(call.result_bytes)}</td></tr>`)}</tbody></table>
    ${calls.length > 500 && html`<p class="note">and ${whole(calls.length - 500)} more</p>`}`;
}

/** @param {{ id: string }} properties */
export function Session({ id }) {
  const answer = useAnswer(`sessions/${encodeURIComponent(id)}`);
  return html`<p class="crumbs"><a href=${address("sessions")}>Sessions</a> / <code>${id.slice(0, 8)}</code></p>${shown(answer, "the session", (data) => {
    const known = data.requests.filter((/** @type {any} */ request) => request.cost_usd !== null);
    const cost = known.reduce((/** @type {number} */ sum, /** @type {any} */ request) => sum + request.cost_usd, 0);
    const nano = known.reduce((/** @type {bigint} */ sum, /** @type {any} */ request) => sum + BigInt(request.cost_nano_usd), 0n);
    const sent = data.requests.reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + row.input_tokens + row.cache_read_tokens + row.cache_write_5m_tokens + row.cache_write_1h_tokens, 0);
    const read = data.requests.reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + row.cache_read_tokens, 0);
    const faults = data.tool_calls.filter((/** @type {any} */ call) => call.outcome && call.outcome !== "ok").length;
    const models = [...new Set(data.requests.map((/** @type {any} */ request) => request.model))];
    const witnesses = [...new Set([...data.requests, ...data.tool_calls].flatMap((fact) => fact.witnesses))];
    const took = data.started_at && data.last_at ? Date.parse(data.last_at) - Date.parse(data.started_at) : null;
    return html`<div class="figures">
      <${Figure} size="first" title=${html`${last(data.cwd) || data.agent} <span class="muted">${data.agent} ${data.version}</span>`} value=${data.requests.length === 0 ? "unknown" : usd(cost)} exact=${exactUsd(String(nano))}>
        <p class="note" title=${data.last_at}>${ago(data.last_at, now.value)}${took !== null && `, over ${duration(took)}`}</p>
        <p class="note">${models.join(", ")}</p>
      <//>
      <${Figure} title="Requests" value=${data.requests.length === 0 ? "unknown" : whole(data.requests.length)}><p class="note">${whole(data.turns.length)} turns</p><//>
      <${Figure} title="From the cache" value=${sent > 0 ? percent(read / sent) : "unknown"}><p class="note">of ${tokens(sent)} sent</p><//>
      <${Figure} title="Tool calls" value=${whole(data.tool_calls.length)}><p class=${faults > 0 ? "note bad" : "note"}>${faults === 0 ? "none failed" : `${whole(faults)} failed`}</p><//>
      <${Figure} title="Told by" value=${whole(witnesses.length)}><p class="note">${witnesses.join(", ")}</p><//>
    </div>
    <section class="card"><h2>Shape</h2><${Shape} requests=${data.requests} /></section>
    <section class="card"><h2>Tool calls</h2><${Calls} calls=${data.tool_calls} /></section>
    ${data.incidents.length > 0 && html`<section class="card"><h2>Incidents</h2><table class="rows"><tbody>${data.incidents.map((/** @type {any} */ incident, /** @type {number} */ place) => html`<tr key=${place}>
      <td class="muted">${incident.at ? clock(incident.at, zone.value, true) : ""}</td><td>${(incident.kind ?? "").replaceAll("_", " ")}</td><td class="grow muted">${incident.detail ?? ""}</td></tr>`)}</tbody></table></section>`}`;
  }, 12)}`;
}
