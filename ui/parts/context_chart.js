// How full the context window was, request by request: read from the cache, written to it, fresh, and what was answered; the cost running up as a line.
import { html, useMemo, useRef, useState } from "../lib.js";
import { UNKNOWN, clock, moment, tokens, usd, whole } from "../format.js";
import { now, zone } from "../state.js";
import { REBUILD, conversations, instant, lastAtMost, rebuilds, sent, written } from "../session_shape.js";
import { Canvas } from "./canvas.js";
import { copyable } from "./copy.js";

/** @typedef {import("../session_shape.js").Request} Request */

const [HEIGHT, PHONE_HEIGHT, TOP, BOTTOM, LEFT, RIGHT] = [240, 160, 18, 20, 64, 64];
/** @type {[name: string, color: string, of: (request: Request) => number][]} */
const KINDS = [["cache read", "--cache-read", (request) => request.cache_read_tokens], ["cache written", "--cache-write", written], ["fresh input", "--fresh-input", (request) => request.input_tokens], ["output", "--output", (request) => request.output_tokens]];
/** Rows of the table behind it. */
const MOST_IN_TABLE = 500;

/** @param {Request} request */
function size(request) {
  return sent(request) + request.output_tokens;
}

/** What is drawn of a conversation. @param {Request[]} requests @param {any[]} incidents @param {boolean} isMain */
function shape(requests, incidents, isMain) {
  const rebuilt = rebuilds(requests);
  let sum = 0;
  const cost = requests.map((request) => (sum += request.cost_usd ?? 0));
  const times = requests.map(({ started_at }) => instant(started_at) ?? 0);
  // No witness tells whose context was compacted: nearly always it is the main agent's, since only it lives that long.
  const compactions = isMain ? incidents.filter(({ kind, at }) => kind === "compaction" && at).map((incident) => ({ ...incident, place: lastAtMost(Date.parse(incident.at), times.length, (place) => times[place]) + 1 })) : [];
  return { rebuilt, cost, compactions, most: requests.reduce((most, request) => Math.max(most, size(request)), 1) };
}

/** @param {string} name @param {Request[]} requests */
function titleOf(name, requests) {
  const count = `${whole(requests.length)} ${requests.length === 1 ? "request" : "requests"}`;
  return name === "" ? `main agent, ${count}` : `${requests[0].subagent_type ?? "sub-agent"} ${name.slice(0, 8)}, ${count}`;
}

/** @param {{ requests: Request[], incidents: any[] }} properties requests in their order */
export function ContextChart({ requests, incidents }) {
  const all = useMemo(() => conversations(requests), [requests]);
  const [name, setName] = useState("");
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const [isTable, setTable] = useState(false);
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [chosen, of] = all.find(([one]) => one === name) ?? all[0] ?? ["", []];
  const { rebuilt, cost, compactions, most } = useMemo(() => shape(of, incidents, chosen === ""), [of, incidents]);
  if (of.length === 0) return html`<p class="empty">${requests.length === 0 ? "No witness told of requests: what was in the context is unknown." : "Only sums were told, and no request by itself: what was in the context is unknown."}</p>`;
  const spent = cost[cost.length - 1];
  const isPriced = of.some(({ cost_usd }) => cost_usd !== null);
  const sumText = (/** @type {number} */ sum) => (isPriced ? usd(sum) : UNKNOWN);
  const count = of.length;

  /** @param {import("./canvas.js").Surface} surface */
  const draw = ({ context, width, height, token }) => {
    const [wide, high] = [Math.max(1, width - LEFT - RIGHT), height - TOP - BOTTOM];
    const y = (/** @type {number} */ value, /** @type {number} */ largest) => TOP + high - (high * value) / largest;
    context.textAlign = "right";
    for (let line = 0; line <= 4; line += 1) {
      context.fillStyle = token("--line");
      context.fillRect(LEFT, Math.round(TOP + (high * line) / 4), wide, 1);
      context.fillStyle = token("--muted");
      context.fillText(tokens(Math.round((most * (4 - line)) / 4)), LEFT - 8, TOP + (high * line) / 4);
    }
    context.textAlign = "left";
    for (const [place, share] of [[0, 1], [1, 0.5], [2, 0]]) if (spent > 0) context.fillText(usd(spent * share), width - RIGHT + 8, TOP + (high * place) / 2);
    // No more bars than pixels: the largest of those that share one, so that no peak is lost.
    const bars = Math.min(count, Math.floor(wide / 2));
    const room = wide / bars;
    const gap = room > 4 ? Math.min(2, room * 0.2) : 0;
    const bar = Math.min(room - gap, 48);
    for (let place = 0; place < bars; place += 1) {
      const [first, end] = [Math.floor((place * count) / bars), Math.floor(((place + 1) * count) / bars)];
      let largest = first;
      for (let one = first + 1; one < end; one += 1) if (size(of[one]) > size(of[largest])) largest = one;
      let below = 0;
      for (const [, color, value] of KINDS) {
        const part = value(of[largest]);
        if (part === 0) continue;
        context.fillStyle = token(color);
        context.fillRect(LEFT + place * room + (room - bar) / 2, y(below + part, most), bar, (high * part) / most);
        below += part;
      }
    }
    const x = (/** @type {number} */ place) => LEFT + ((place + 0.5) * wide) / count;
    context.fillStyle = token("--text");
    rebuilt.forEach((is, place) => {
      if (!is) return;
      context.beginPath();
      context.moveTo(x(place) - 4, TOP - 12);
      context.lineTo(x(place) + 4, TOP - 12);
      context.lineTo(x(place), TOP - 4);
      context.fill();
    });
    context.strokeStyle = token("--bad");
    context.lineWidth = 1.5;
    context.setLineDash([5, 3]);
    for (const { place } of compactions) {
      const left = LEFT + (Math.min(place, count) * wide) / count;
      context.beginPath();
      context.moveTo(left, TOP - 14);
      context.lineTo(left, TOP + high);
      context.stroke();
    }
    context.setLineDash([]);
    if (spent > 0) {
      const step = Math.max(1, Math.floor(count / wide));
      for (const [color, thick] of [["--surface", 4], ["--text", 1.5]]) {
        context.strokeStyle = token(String(color));
        context.lineWidth = Number(thick);
        context.beginPath();
        for (let place = 0; place < count; place += step) context.lineTo(x(place), y(cost[place], spent));
        context.lineTo(x(count - 1), y(spent, spent));
        context.stroke();
      }
    }
    if (at !== null && at < count) {
      context.fillStyle = token("--accent");
      context.fillRect(x(at) - 0.5, TOP, 1.5, high);
    }
    context.fillStyle = token("--muted");
    const time = (/** @type {number} */ place) => (of[place].started_at ? moment(/** @type {string} */ (of[place].started_at), zone.value, now.value) : "");
    context.fillText(time(0), LEFT, height - 8);
    context.textAlign = "right";
    if (count > 1) context.fillText(time(count - 1), width - RIGHT, height - 8);
    context.textAlign = "left";
  };
  const placeOf = (/** @type {PointerEvent} */ event) => {
    const { left, width } = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
    return Math.max(0, Math.min(count - 1, Math.floor(((event.clientX - left - LEFT) * count) / Math.max(1, width - LEFT - RIGHT))));
  };
  const key = (/** @type {KeyboardEvent} */ event) => {
    const next = { ArrowRight: (at ?? -1) + 1, ArrowLeft: (at ?? count) - 1, Home: 0, End: count - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(count - 1, next)));
  };
  const shown = at !== null && at < count ? of[at] : null;
  const sum = (/** @type {(request: Request) => number} */ value) => (shown ? value(shown) : of.reduce((sum, request) => sum + value(request), 0));
  const rebuiltCount = rebuilt.filter(Boolean).length;
  const head = ["request", "started_at", "model", "cache_read_tokens", "cache_write_tokens", "input_tokens", "output_tokens", "cost_nano_usd", "rebuilt_cache"];
  const cells = (/** @type {number} */ place) => {
    const request = of[place];
    return [request.request, request.started_at ?? "", request.model, ...KINDS.map(([, , value]) => String(value(request))), request.cost_nano_usd ?? "", String(rebuilt[place])];
  };
  const drawn = () => ({ canvas: canvas.current ?? undefined, legend: /** @type {[string, string | null, string][]} */ ([...KINDS.map(([label, color, value]) => [label, color, tokens(sum(value))]), ["cost so far", "--text", sumText(spent)]]) });
  const title = `Context by request, ${titleOf(chosen, of)}`;
  return html`<figure class="chart context" aria-label=${title}>
    <figcaption><span class="when">${all.length > 1 ? html`<select aria-label="Whose context" value=${chosen} onChange=${(/** @type {any} */ event) => (setName(event.currentTarget.value), setAt(null))}>
        ${all.map(([one, requests]) => html`<option key=${one} value=${one}>${titleOf(one, requests)}</option>`)}</select>` : titleOf(chosen, of)}
        <span>${shown ? `${at !== null ? at + 1 : ""}. ${shown.started_at ? clock(shown.started_at, zone.value, true) : ""} ${shown.model}, ${usd(shown.cost_usd)}${at !== null && rebuilt[at] ? ", rebuilt its cache" : ""}` : ""}</span></span>
      <span class="tools"><button type="button" aria-pressed=${isTable} onClick=${() => setTable(!isTable)}>Table</button>${copyable(title, () => [head, ...of.map((_, place) => cells(place))], isTable ? undefined : drawn)}</span>
      <ul class="legend">${KINDS.map(([label, color, value]) => html`<li key=${label}><i style=${{ background: `var(${color})` }}></i>${label} <b>${tokens(sum(value))}</b></li>`)}
        <li><i class="line"></i>cost so far <b>${sumText(at !== null && shown ? cost[at] : spent)}</b></li>
        <li title=${REBUILD} tabindex="0"><span class="mark" aria-hidden="true">▼</span>rebuilt cache <b>${whole(rebuiltCount)}</b><span class="hidden">${REBUILD}</span></li>
        ${compactions.length > 0 && html`<li title="The context was summed up to make room."><i class="compaction"></i>compaction <b>${whole(compactions.length)}</b></li>`}</ul></figcaption>
    ${isTable ? html`<div class="scroll" tabindex="0" role="region" aria-label=${`${title}, as a table`}><table class="rows"><thead><tr><th scope="col">At</th><th scope="col">Model</th>${KINDS.map(([label]) => html`<th key=${label} scope="col" class="number">${label}</th>`)}<th scope="col" class="number">Cost</th><th scope="col">Cache</th></tr></thead>
        <tbody>${of.slice(0, MOST_IN_TABLE).map((request, place) => html`<tr key=${request.request}><td>${request.started_at ? clock(request.started_at, zone.value, true) : ""}</td><td>${request.model}</td>
          ${KINDS.map(([label, , value]) => html`<td key=${label} class="number" title=${whole(value(request))}>${tokens(value(request))}</td>`)}<td class="number">${usd(request.cost_usd)}</td><td>${rebuilt[place] ? "rebuilt" : ""}</td></tr>`)}</tbody></table>
        ${count > MOST_IN_TABLE && html`<p class="note">and ${whole(count - MOST_IN_TABLE)} more in the CSV</p>`}</div>`
    : html`<${Canvas} canvas=${canvas} draw=${draw} of=${[of, incidents, at]} height=${(canvas.current?.clientWidth ?? innerWidth) < 560 ? PHONE_HEIGHT : HEIGHT} tabindex="0" role="img" aria-label=${`${title}; arrows go from request to request, the figures are behind Table`}
        onPointerMove=${(/** @type {PointerEvent} */ event) => setAt(placeOf(event))} onPointerLeave=${() => setAt(null)} onKeyDown=${key} onBlur=${() => setAt(null)} />`}
  </figure>`;
}
