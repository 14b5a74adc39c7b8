// What sessions are looked for: a word, names, what they cost, whether something failed, whether they run. All of it is in the address.
import { html, useState } from "../lib.js";
import { useAnswer } from "../api.js";
import { ask, parameters, place, range } from "../state.js";
import { Icon } from "./icons.js";
import { labels } from "./names.js";
import { COLUMNS } from "./session_columns.js";

/** Filters that names are offered for. @type {[name: string, title: string][]} */
const NAMED = [["agent", "Agent"], ["model", "Model"], ["project", "Project"], ["branch", "Branch"], ["user", "User"], ["team", "Team"], ["host", "Host"], ["billing", "Billing"]];

/** How the list is sorted unless something else is asked for. */
export const USUAL = { name: "last_at", order: "desc" };

/** Filters of this list alone. @type {Record<string, (value: string) => string>} */
const OWN = { min_cost_usd: (value) => `from $${value}`, max_cost_usd: (value) => `to $${value}`, errors: () => "with errors", live: () => "live" };

/** Parameters of the list that the address has, beside those that every view has. */
export function asksOfSessions() {
  const { query } = place.value;
  return Object.fromEntries(["search", ...Object.keys(OWN)].flatMap((name) => (query.get(name) ? [[name, query.get(name) ?? ""]] : [])));
}

/** Names of one dimension that had requests in this time. @param {{ name: string, title: string }} properties */
function Names({ name, title }) {
  const { data, error } = useAnswer("report", { ...parameters(range.value, []), by: name });
  const chosen = place.value.query.get(name);
  const names = (data?.rows ?? []).map((/** @type {any} */ row) => row[name] ?? "");
  const all = chosen === null || names.includes(chosen) ? names : [chosen, ...names];
  const label = labels(name, all);
  return html`<label>${title} <select disabled=${!data} title=${error} value=${chosen === null ? "\0" : chosen} onChange=${(/** @type {any} */ event) => ask({ [name]: event.currentTarget.value === "\0" ? null : event.currentTarget.value })}>
    <option value=${"\0"}>any</option>${all.map((/** @type {string} */ one) => html`<option key=${one} value=${one}>${label(one) || "unattributed"}</option>`)}</select></label>`;
}

/** A number that the address has, taken when it is whole. @param {{ name: string, title: string }} properties */
function Cost({ name, title }) {
  return html`<label>${title} <input type="number" min="0" step="any" inputmode="decimal" value=${place.value.query.get(name) ?? ""} onChange=${(/** @type {any} */ event) => ask({ [name]: event.currentTarget.value })} /></label>`;
}

/** Where there is no room for headings to click, it is sorted here. */
function Sort() {
  const { query } = place.value;
  return html`<label>Sorted by <select value=${query.get("sort") ?? USUAL.name} onChange=${(/** @type {any} */ event) => ask({ sort: event.currentTarget.value === USUAL.name ? null : event.currentTarget.value, order: null }, true)}>
    ${COLUMNS.flatMap(({ sort, label }) => (sort ? [html`<option key=${sort} value=${sort}>${label}</option>`] : []))}</select></label>
    <label>Order <select value=${query.get("order") ?? USUAL.order} onChange=${(/** @type {any} */ event) => ask({ order: event.currentTarget.value === USUAL.order ? null : event.currentTarget.value }, true)}><option value="desc">largest or last first</option><option value="asc">smallest or first first</option></select></label>`;
}

/** @param {{ name: string, children?: any }} properties */
function Only({ name, children }) {
  const isOn = place.value.query.get(name) === "true";
  return html`<button type="button" aria-pressed=${isOn} onClick=${() => ask({ [name]: isOn ? null : "true" })}>${children}</button>`;
}

/** @param {{ chosen: string[], onChoose: (names: string[]) => void, href: string }} properties of columns, and where their CSV is */
export function SessionFilters({ chosen, onChoose, href }) {
  const [open, setOpen] = useState(/** @type {"filters" | "columns" | null} */ (null));
  const { query } = place.value;
  const own = Object.keys(OWN).filter((name) => query.get(name));
  const toggle = (/** @type {"filters" | "columns"} */ name) => setOpen(open === name ? null : name);
  return html`<div class="seek" onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && open && (setOpen(null), event.stopPropagation())}>
    <div class="tools"><input type="search" placeholder="Search: id, folder, project, branch, agent, host, user" aria-label="Search sessions" value=${query.get("search") ?? ""} onInput=${(/** @type {any} */ event) => ask({ search: event.currentTarget.value }, true)} />
      <button type="button" aria-expanded=${open === "filters"} onClick=${() => toggle("filters")}>Filter</button><${Only} name="live">Live<//><${Only} name="errors">With errors<//>
      <button type="button" aria-expanded=${open === "columns"} onClick=${() => toggle("columns")}>Columns</button><a class="button" href=${href} download="sessions.csv" title="All that match, as CSV">CSV</a></div>
    ${open === "filters" && html`<div class="panel" role="group" aria-label="Filters">${NAMED.map(([name, title]) => html`<${Names} key=${name} name=${name} title=${title} />`)}<${Cost} name="min_cost_usd" title="Cost from, $" /><${Cost} name="max_cost_usd" title="Cost to, $" /><${Sort} /></div>`}
    ${open === "columns" && html`<div class="panel" role="group" aria-label="Columns">${COLUMNS.map(({ name, label }) => html`<label key=${name}><input type="checkbox" checked=${chosen.includes(name)} disabled=${chosen.length === 1 && chosen.includes(name)}
      onChange=${() => onChoose(COLUMNS.map((column) => column.name).filter((one) => (one === name ? !chosen.includes(one) : chosen.includes(one))))} /> ${label}</label>`)}</div>`}
    ${own.length > 0 && html`<ul class="chips" aria-label="Filters of sessions">${own.map((name) => html`<li key=${name}><button type="button" onClick=${() => ask({ [name]: null })}>${OWN[name](query.get(name) ?? "")} <${Icon} name="close" /><span class="hidden">remove</span></button></li>`)}</ul>`}
  </div>`;
}
