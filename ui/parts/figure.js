// A headline figure: what it is, how much, how it compares, and what is to be known about it.
import { html } from "../lib.js";
import { percent } from "../format.js";

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

/** @param {{ title: any, value: any, exact?: string, size?: string, children?: any }} properties */
export function Figure({ title, value, exact, size = "", children }) {
  return html`<section class=${`card figure ${size}`}>
    <h2>${title}</h2>
    <p class="value" title=${exact}>${value}</p>
    ${children}
  </section>`;
}
