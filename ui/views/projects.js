// Whose money it is: by project and branch, agent, machine and the like; and by people, who are not ranked unless somebody asks.
import { html } from "../lib.js";
import { ask, filters, place } from "../state.js";
import { Groups } from "../parts/groups.js";
import { DIMENSIONS } from "../parts/names.js";
import { SpendChart } from "../parts/spend_chart.js";

/** @param {{ among: string[], first?: string }} properties dimensions, the usual one first, and what rows are sorted by */
function Cut({ among, first }) {
  const asked = place.value.query.get("by");
  const dimension = asked && among.includes(asked) ? asked : among[0];
  const isIn = dimension === "project" && filters.value.some(({ name, value }) => name === "project" && value !== "");
  const tabs = among.map((name) => /** @type {typeof DIMENSIONS[0]} */ (DIMENSIONS.find(([known]) => known === name)));
  return html`
    <div class="tabs" role="group" aria-label="Grouped by">${tabs.map(([name, , many]) => html`<button key=${name} type="button" aria-pressed=${name === dimension} onClick=${() => ask({ by: name === among[0] ? null : name, sort: null, order: null })}>${many}</button>`)}</div>
    <section class="card"><${SpendChart} key=${dimension} dimension=${dimension} /></section>
    <section class="card"><${Groups} key=${dimension} dimension=${dimension} first=${first === "name" ? dimension : undefined} /></section>
    ${isIn && html`<section class="card"><h2>Branches of it</h2><${Groups} dimension="branch" name="branches" /></section>`}`;
}

export function Projects() {
  return html`<${Cut} among=${["project", "branch", "agent", "host", "subagent", "skill", "mcp_server", "plugin", "billing"]} />`;
}

export function People() {
  return html`<${Cut} among=${["user", "team"]} first="name" />`;
}
