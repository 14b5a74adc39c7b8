// Commands to be copied.
import { html, useState } from "../lib.js";

/** How long it is said that it was copied. */
const SAID_MS = 1500;

/** @param {{ text: string }} properties */
export function Command({ text }) {
  const [isCopied, setCopied] = useState(false);
  const copy = () => navigator.clipboard?.writeText(text).then(() => {
    setCopied(true);
    setTimeout(() => setCopied(false), SAID_MS);
  }, () => {});
  // Without a secure origin there is no clipboard: a click selects it whole.
  return html`<span class="copied"><code class="command">${text}</code>${navigator.clipboard && html`<button type="button" class="link" onClick=${copy}>${isCopied ? "copied" : "copy"}</button>`}</span>`;
}

/** Text in which commands stand between backquotes. @param {string} text */
export function marked(text) {
  return text.split("`").map((part, place) => (place % 2 ? html`<code key=${place}>${part}</code>` : part));
}
