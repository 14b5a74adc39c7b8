// A headline figure: what it is, how much, how it compares, and what is to be known about it.
import { html } from "../lib.js";
import { UNKNOWN, percent } from "../format.js";

/** @typedef {import("../api.js").Answer} Answer */

/**
 * Against the period before. It is coloured only where it is worth acting on.
 * @param {{ value: number, before: number | null | undefined, moreIsBad?: boolean }} properties
 */
export function Delta({ value, before, moreIsBad = true }) {
  if (before === null || before === undefined || before === 0) return null;
  const change = value / before - 1;
  if (Math.abs(change) < 0.005) return html`<span class="delta">= as before</span>`;
  const isMuch = Math.abs(change) >= 0.5 && moreIsBad === change > 0;
  const size = Math.abs(change) >= 10 ? `${(value / before).toFixed(0)} ×` : percent(Math.abs(change));
  return html`<span class=${`delta${isMuch ? " warn" : ""}`}>${change > 0 ? "▲" : "▼"} ${size} <small>vs before</small></span>`;
}

/**
 * While its answer is on the way it has its size already.
 * @param {{ title: any, value: any, exact?: string, size?: string, answer?: Answer, children?: any }} properties
 */
export function Figure({ title, value, exact, size = "", answer, children }) {
  const isComing = answer && !answer.data && !answer.error;
  const isFailed = answer && !answer.data && answer.error;
  return html`<section class=${`card figure ${size}`} aria-busy=${isComing ? "true" : null}>
    <h2>${title}</h2>
    <p class="value" title=${exact}>${isComing ? html`<i class="skeleton" aria-label="loading"></i>` : isFailed ? UNKNOWN : value}</p>
    ${isFailed ? html`<p class="note bad" role="alert">${answer.error}</p>` : isComing ? html`<p class="note"> <br /> </p>` : children}
  </section>`;
}

/**
 * Smaller figures in one line.
 * @param {{ label: string, value: any, exact?: string, note?: any, answer: Answer }} properties
 */
export function Glance({ label, value, exact, note, answer }) {
  const isComing = !answer.data && !answer.error;
  return html`<div aria-busy=${isComing ? "true" : null}><dt>${label}</dt><dd title=${answer.error && !answer.data ? answer.error : exact}>${isComing ? html`<i class="skeleton" aria-label="loading"></i>` : answer.data ? value : UNKNOWN}</dd>
    <dd class="note">${answer.data ? note : ""} </dd></div>`;
}
