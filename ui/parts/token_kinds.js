// Tokens by kind as one bar, and how much of what was sent came from the cache.
import { html } from "../lib.js";
import { copyable } from "./copy.js";
import { percent, tokens, whole } from "../format.js";

/** @type {[name: string, color: string, fields: string[]][]} */
const KINDS = [
  ["cache read", "--cache-read", ["cache_read_tokens"]],
  ["cache write", "--cache-write", ["cache_write_5m_tokens", "cache_write_1h_tokens"]],
  ["fresh input", "--fresh-input", ["input_tokens"]],
  ["output", "--output", ["output_tokens"]],
];

/** Tokens that were sent, from the cache or not. @param {any} row */
export function sent(row) {
  return row.input_tokens + row.cache_read_tokens + row.cache_write_5m_tokens + row.cache_write_1h_tokens;
}

/** @param {{ totals: any }} properties */
export function TokenKinds({ totals }) {
  const kinds = KINDS.map(([name, color, fields]) => ({ name, color, count: fields.reduce((sum, field) => sum + (totals[field] ?? 0), 0) }));
  const all = kinds.reduce((sum, { count }) => sum + count, 0);
  if (all === 0) return html`<p class="empty">No tokens in this time.</p>`;
  const sent = all - kinds[3].count;
  return html`<div class="tools">${copyable("tokens by kind", [["kind", "tokens"], ...kinds.map(({ name, count }) => [name, String(count)])])}</div><p class="value small">${percent(sent > 0 ? kinds[0].count / sent : null)} <small class="muted">of what was sent came from the cache</small></p>
    <div class="stack" aria-hidden="true">${kinds.map(({ name, color, count }) => html`<i key=${name} style=${{ width: `${(100 * count) / all}%`, background: `var(${color})` }}></i>`)}</div>
    <ul class="legend">${kinds.map(({ name, color, count }) => html`<li key=${name} title=${`${whole(count)} tokens`}><i style=${{ background: `var(${color})` }}></i>${name} <b>${tokens(count)}</b></li>`)}</ul>`;
}
