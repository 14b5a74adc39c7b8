// Gauges of a plan's quota: the share used, when it resets, and whether it lasts at the present pace.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { clock } from "../format.js";
import { day } from "../calendar.js";
import { now, zone } from "../state.js";
import { Figure } from "./figure.js";

/** `16:40`, with the weekday when that is neither today nor soon. @param {string} time */
function at(time) {
  const soon = Date.parse(time) - now.value < 12 * 3_600_000 || day(Date.parse(time), zone.value) === day(now.value, zone.value);
  const hour = clock(time, zone.value);
  return soon ? hour : `${new Date(time).toLocaleDateString("en-GB", { timeZone: zone.value, weekday: "short" })} ${hour}`;
}

/** @param {any} quota */
function outlook(quota) {
  if (quota.used_percent >= 100) return `used up, resets ${at(quota.resets_at)}`;
  return quota.lasts ? `lasts to ${at(quota.resets_at)}` : `out at ${at(quota.used_up_at)}, resets ${at(quota.resets_at)}`;
}

/** @param {{ quota: any }} properties */
function Gauge({ quota }) {
  const level = !quota.lasts || quota.used_percent >= 80 ? "bad" : quota.used_percent >= 50 ? "warn" : "good";
  const percent = `${Math.round(quota.used_percent)} %`;
  const what = [quota.window, quota.limit, "quota"].filter(Boolean).join(" ");
  return html`<${Figure} title=${html`${what} <span class="muted">${quota.agent}</span>`} value=${percent} exact=${`told ${clock(quota.told_at, zone.value, true)}`}>
    <meter class=${level} min="0" max="100" value=${Math.min(100, quota.used_percent)} aria-label=${`${what} used`}></meter>
    <p class="note">${outlook(quota)}</p>
  <//>`;
}

export function Quotas() {
  const quotas = useAnswer("quota").data?.quotas ?? [];
  if (quotas.length === 0) return null;
  return html`<div class="figures">${quotas.map((/** @type {any} */ quota) => html`<${Gauge} key=${`${quota.agent} ${quota.window} ${quota.limit} ${quota.resets_at}`} quota=${quota} />`)}</div>`;
}
