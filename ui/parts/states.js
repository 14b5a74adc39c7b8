// What stands where no figures are: nothing yet, loading, a fault, figures that are old.
import { html } from "../lib.js";
import { clock } from "../format.js";
import { zone } from "../state.js";

/** @param {{ children?: any }} properties */
export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`;
}

/** The shape of what comes; it shows after a while only, because most comes at once. @param {{ lines?: number }} properties */
export function Loading({ lines = 3 }) {
  return html`<div class="loading" aria-busy="true" aria-label="loading">${Array.from({ length: lines }, (_, line) => html`<i key=${line}></i>`)}</div>`;
}

/** @param {{ what: string, error: string, at: number }} properties */
export function Fault({ what, error, at }) {
  return html`<p class="fault" role="alert">Cannot read ${what}: ${error}. ${at ? `What is shown is of ${clock(at, zone.value, true)}.` : ""} Trying again as things happen.</p>`;
}

/**
 * The answer's content, or what stands for it.
 * @param {import("../api.js").Answer} answer
 * @param {string} what
 * @param {(data: any) => any} content
 * @param {number} lines of its shape while it loads
 */
export function shown(answer, what, content, lines = 3) {
  return html`${answer.error && html`<${Fault} what=${what} error=${answer.error} at=${answer.at} />`}${
    answer.data ? content(answer.data) : answer.error ? null : html`<${Loading} lines=${lines} />`}`;
}
