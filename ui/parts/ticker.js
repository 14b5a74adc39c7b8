// What happens now, the latest first. What is being read does not move: while the pointer or the focus is on it, news wait.
import { html, useEffect, useRef, useSignal } from "../lib.js";
import { isLive, onEvent } from "../api.js";
import { clock, duration, last, tokens, usd } from "../format.js";
import { address, zone } from "../state.js";

const MOST = 11;

/** A word for an event's kind, what it is about, what came of it. @param {any} event @returns {[string, string, string, boolean] | null} */
function words(event) {
  switch (event.kind) {
    case "tool_call": {
      const took = event.duration_ms === null ? "" : duration(event.duration_ms);
      return [event.name ?? "tool", last(event.target), [event.outcome ?? "running", took].filter(Boolean).join(", "), Boolean(event.outcome && event.outcome !== "ok")];
    }
    case "request":
      return ["request", event.model, `${tokens(event.output_tokens)} out, ${usd(event.cost_usd)}`, false];
    case "turn":
      return ["prompt", "", event.ended ? "answered" : event.prompt_bytes === null ? "" : `${event.prompt_bytes.toLocaleString("en-US")} bytes`, false];
    case "incident":
      return [(event.incident ?? "").replaceAll("_", " "), event.detail ?? "", "", true];
    default:
      return null;
  }
}

/** @param {any} event */
function key(event) {
  return event.tool_call ?? event.request ?? `${event.kind}${event.at}${event.session}${event.incident ?? ""}`;
}

export function Ticker() {
  const events = useSignal(/** @type {any[]} */ ([]));
  const waiting = useSignal(/** @type {any[]} */ ([]));
  const isRead = useRef(false);
  const take = (/** @type {any[]} */ news) => {
    const keys = new Set(news.map(key));
    // A call that ends takes the place of its start.
    const merged = events.peek().map((known) => news.find((event) => key(event) === key(known)) ?? known);
    const fresh = news.filter((event) => !events.peek().some((known) => key(known) === key(event)) && keys.delete(key(event)));
    events.value = [...fresh.reverse(), ...merged].slice(0, MOST);
  };
  const release = () => {
    isRead.current = false;
    take(waiting.peek());
    waiting.value = [];
  };
  useEffect(() => onEvent((event) => {
    if (!words(event)) return;
    const isShown = events.peek().some((known) => key(known) === key(event));
    if (isRead.current && !isShown) waiting.value = [...waiting.peek().filter((known) => key(known) !== key(event)), event].slice(-MOST);
    else take([event]);
  }), []);
  return html`<section class="card live" aria-label="Live events" onMouseEnter=${() => (isRead.current = true)} onMouseLeave=${release} onFocusIn=${() => (isRead.current = true)} onFocusOut=${release}>
    <h2>Now ${waiting.value.length > 0 && html`<button type="button" class="chip" onClick=${release}>${waiting.value.length} new</button>`}${!isLive.value && html` <span class="warn">not connected</span>`}</h2>
    ${events.value.length === 0 ? html`<p class="empty">Quiet. Tool calls and prompts show here as they happen; <code>ducat setup claude-code</code> has Claude Code tell of them at once.</p>`
    : html`<table class="rows"><tbody>${events.value.map((event) => {
      const [kind, about, result, isFault] = words(event) ?? ["", "", "", false];
      return html`<tr key=${key(event)}><td class="muted time">${clock(event.at, zone.value, true)}</td><td class=${isFault ? "bad" : ""}>${kind}</td>
        <td class="grow muted" title=${event.target ?? about}>${about}</td>
        <td class="wide muted">${event.session ? html`<a href=${address(`sessions/${encodeURIComponent(event.session)}`)}>${last(event.project) || event.agent}</a>` : last(event.project) || event.agent}</td>
        <td class="number">${result}</td></tr>`;
    })}</tbody></table>`}
  </section>`;
}
