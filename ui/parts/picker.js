// The range and the zone that the page looks at.
import { html, useState } from "../lib.js";
import { day, daysOf, isDay, plus, stamp } from "../calendar.js";
import { RANGES, USUAL, ask, before, place, range, zone } from "../state.js";

/** What was looked at before looking closer, the last one last. @type {Record<string, string | null>[]} */
let wider = [];
addEventListener("popstate", () => (wider = []));

/** Moves the range by its own length. @param {1 | -1} way */
export function shift(way) {
  const { since, until, from, to, today } = range.value;
  const past = before.value;
  if (since === null || from === null || !past) return;
  if (way < 0) ask({ range: null, since: past.since, until: past.until });
  else if (to > Date.now()) return;
  else if (!isDay(since) || !isDay(until)) ask({ range: null, since: stamp(to), until: stamp(to + (to - from)) });
  else {
    const days = daysOf(since, until);
    const last = plus(until, days);
    ask({ range: null, since: plus(since, days), until: last > today ? today : last });
  }
}

/** @param {string} name */
export function pick(name) {
  wider = [];
  ask({ range: name === USUAL ? null : name, since: null, until: null });
}

/** Looks closer: from the beginning of one bar to the end of another. @param {{ since: string }} first @param {{ until: string }} last */
export function zoom({ since }, { until }) {
  const { query } = place.value;
  wider.push({ range: query.get("range"), since: query.get("since"), until: query.get("until") });
  ask({ range: null, since, until });
}

/** Back to what was looked at before; from an address with times to its days. */
export function zoomOut() {
  const last = wider.pop();
  const { name, from, to } = range.value;
  if (last) ask(last);
  else if (name === "custom" && from !== null && (to - from) % 86_400_000 !== 0) ask({ since: day(from, zone.value), until: day(to - 1, zone.value) });
}

/** The zone's distance from UTC, as `UTC+1`. */
function offset() {
  const part = new Intl.DateTimeFormat("en", { timeZone: zone.value, timeZoneName: "shortOffset" }).formatToParts(new Date()).find(({ type }) => type === "timeZoneName");
  return part?.value.replace("GMT", "UTC") ?? zone.value;
}

export function Picker() {
  const [isOpen, setOpen] = useState(false);
  const [isChoosing, setChoosing] = useState(false);
  const { name, label, since, from, to, today } = range.value;
  // All four hundred only when somebody is about to choose.
  const zones = [...new Set([Intl.DateTimeFormat().resolvedOptions().timeZone, "UTC", zone.value, ...(isChoosing ? Intl.supportedValuesOf("timeZone") : [])])];
  const dates = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    const [from, to] = [String(form.get("since")), String(form.get("until"))].sort();
    ask({ range: null, since: from, until: to });
    setOpen(false);
  };
  return html`<div class="picker" onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && isOpen && (event.preventDefault(), setOpen(false))}>
    <button type="button" title="The time before: [" aria-label="Earlier" onClick=${() => shift(-1)} disabled=${!since}>‹</button>
    <button type="button" class="current" aria-expanded=${isOpen} aria-haspopup="true" onClick=${() => setOpen(!isOpen)}>${label}</button>
    <button type="button" title="The time after: ]" aria-label="Later" onClick=${() => shift(1)} disabled=${!since || to > Date.now()}>›</button>
    <label class="zone" title=${zone.value}><span class="hidden">Time zone</span>
      <select value=${zone.value} onPointerEnter=${() => setChoosing(true)} onFocus=${() => setChoosing(true)} onChange=${(/** @type {any} */ event) => ask({ timezone: event.currentTarget.value === zones[0] ? null : event.currentTarget.value })}>
        ${zones.map((one) => html`<option key=${one} value=${one}>${one === zone.value ? `${one} (${offset()})` : one}</option>`)}
      </select></label>
    ${isOpen && html`<div class="menu" role="group" aria-label="Range">
      ${RANGES.map(([key, title]) => html`<button key=${key} type="button" aria-pressed=${name === key} onClick=${() => (pick(key), setOpen(false))}>${title}</button>`)}
      <form onSubmit=${dates}>
        <label>From <input type="date" name="since" max=${today} value=${from ? day(from, zone.value) : today} required /></label>
        <label>to <input type="date" name="until" max=${today} value=${day(to - 1, zone.value)} required /></label>
        <button type="submit">Show</button>
      </form>
    </div>`}
  </div>`;
}
