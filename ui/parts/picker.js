// The range and the zone that the page looks at.
import { html, useState } from "../lib.js";
import { RANGES, ask, before, plus, range, zone } from "../state.js";

/** Moves the range by its own length. @param {1 | -1} way */
export function shift(way) {
  const { since, until, today } = range.value;
  if (!since) return;
  const days = Math.round((Date.parse(until) - Date.parse(since)) / 86_400_000) + 1;
  const next = way < 0 && before.value ? before.value : { since: plus(since, days), until: plus(until, days) };
  if (next.since > today) return;
  ask({ range: null, since: next.since, until: next.until > today ? today : next.until });
}

/** @param {string} name */
export function pick(name) {
  ask({ range: name === "7d" ? null : name, since: null, until: null });
}

/** The zone's distance from UTC, as `UTC+1`. */
function offset() {
  const part = new Intl.DateTimeFormat("en", { timeZone: zone.value, timeZoneName: "shortOffset" }).formatToParts(new Date()).find(({ type }) => type === "timeZoneName");
  return part?.value.replace("GMT", "UTC") ?? zone.value;
}

export function Picker() {
  const [isOpen, setOpen] = useState(false);
  const { name, label, since, until, today } = range.value;
  const zones = [...new Set([Intl.DateTimeFormat().resolvedOptions().timeZone, "UTC", zone.value])];
  const dates = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    const [from, to] = [String(form.get("since")), String(form.get("until"))].sort();
    ask({ range: null, since: from, until: to });
    setOpen(false);
  };
  return html`<div class="picker" onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && setOpen(false)}>
    <button type="button" title="The time before: [" aria-label="Earlier" onClick=${() => shift(-1)} disabled=${!since}>‹</button>
    <button type="button" class="current" aria-expanded=${isOpen} aria-haspopup="true" onClick=${() => setOpen(!isOpen)}>${label}</button>
    <button type="button" title="The time after: ]" aria-label="Later" onClick=${() => shift(1)} disabled=${!since || until >= today}>›</button>
    <label class="zone" title=${zone.value}><span class="hidden">Time zone</span>
      <select value=${zone.value} onChange=${(/** @type {any} */ event) => ask({ timezone: event.currentTarget.value === zones[0] ? null : event.currentTarget.value })}>
        ${zones.map((one) => html`<option key=${one} value=${one}>${one === zone.value ? `${one} (${offset()})` : one}</option>`)}
      </select></label>
    ${isOpen && html`<div class="menu" role="group" aria-label="Range">
      ${RANGES.map(([key, title]) => html`<button key=${key} type="button" aria-pressed=${name === key} onClick=${() => (pick(key), setOpen(false))}>${title}</button>`)}
      <form onSubmit=${dates}>
        <label>From <input type="date" name="since" max=${today} value=${since ?? today} required /></label>
        <label>to <input type="date" name="until" max=${today} value=${until} required /></label>
        <button type="submit">Show</button>
      </form>
    </div>`}
  </div>`;
}
