// Which model costs what, and what a token of it costs in effect.
import { html } from "../lib.js";
import { Groups } from "../parts/groups.js";

export function Models() {
  return html`<section class="card"><h2>Models</h2><${Groups} dimension="model" isFilter=${true} /></section>`;
}
