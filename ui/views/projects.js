// Whose money it is: by project, branch, user, team, host, agent and the like.
import { html } from "../lib.js";
import { ask, place } from "../state.js";
import { Groups } from "../parts/groups.js";

/** @type {[dimension: string, title: string, isFilter: boolean][]} */
const DIMENSIONS = [["project", "Projects", true], ["branch", "Branches", false], ["agent", "Agents", true], ["user", "Users", false], ["team", "Teams", false],
  ["host", "Hosts", false], ["billing", "Billing", false], ["subagent", "Sub-agents", false], ["skill", "Skills", false], ["mcp_server", "MCP servers", false]];

export function Projects() {
  const chosen = place.value.query.get("by") ?? "project";
  const [dimension, , isFilter] = DIMENSIONS.find(([name]) => name === chosen) ?? DIMENSIONS[0];
  return html`<section class="card">
    <div class="tabs" role="group" aria-label="Grouped by">${DIMENSIONS.map(([name, title]) => html`<button key=${name} type="button" aria-pressed=${name === dimension} onClick=${() => ask({ by: name === "project" ? null : name })}>${title}</button>`)}</div>
    <${Groups} key=${dimension} dimension=${dimension} isFilter=${isFilter} /></section>`;
}
