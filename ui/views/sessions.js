// Which sessions cost what.
import { html, useEffect, useSignal } from "../lib.js";
import { fetchJson, happened } from "../api.js";
import { ago, exactUsd, last, usd, whole } from "../format.js";
import { address, now, place, ask } from "../state.js";
import { copyable } from "../parts/copy.js";
import { Fault, Loading } from "../parts/states.js";

const PAGE = 200;

/** @param {any} row @param {string} searched */
function matches(row, searched) {
  return !searched || [row.session, row.cwd, row.agent, row.host].some((text) => (text ?? "").toLowerCase().includes(searched));
}

export function Sessions() {
  const rows = useSignal(/** @type {any[]} */ ([]));
  const state = useSignal({ isAll: false, error: /** @type {string | null} */ (null), isLoading: true });
  const searched = (place.value.query.get("search") ?? "").toLowerCase();
  const load = async (/** @type {number} */ offset) => {
    state.value = { ...state.peek(), isLoading: true };
    try {
      const { rows: more } = await fetchJson("sessions", { offset: String(offset), limit: String(PAGE) });
      rows.value = offset === 0 ? [...more, ...rows.peek().slice(PAGE)] : [...rows.peek().slice(0, offset), ...more];
      state.value = { isAll: more.length < PAGE, error: null, isLoading: false };
    } catch (error) {
      state.value = { ...state.peek(), error: String(error instanceof Error ? error.message : error), isLoading: false };
    }
  };
  useEffect(() => void load(0), [happened.value]);
  const shown = rows.value.filter((row) => matches(row, searched));
  const { error, isLoading, isAll } = state.value;
  const table = [["session", "agent", "folder", "last", "turns", "requests", "tool calls", "cost in nano-USD"],
    ...shown.map((row) => [row.session, row.agent, row.cwd ?? "", row.last_at ?? "", String(row.turns), String(row.requests ?? ""), String(row.tool_calls), row.cost_nano_usd ?? ""])];
  return html`<section class="card">
    <div class="tools"><input type="search" placeholder="Search: session, folder, agent, host" aria-label="Search sessions" value=${place.value.query.get("search") ?? ""}
      onInput=${(/** @type {any} */ event) => ask({ search: event.currentTarget.value }, true)} /> ${copyable("sessions", table)}</div>
    ${error && html`<${Fault} what="sessions" error=${error} at=${0} />`}
    ${rows.value.length === 0 && isLoading ? html`<${Loading} lines=${10} />` : html`<table class="rows sessions">
      <thead><tr><th scope="col">Session</th><th scope="col">Folder</th><th scope="col" class="wide">Agent</th><th scope="col" class="number">Last</th>
        <th scope="col" class="number wide">Turns</th><th scope="col" class="number wide">Requests</th><th scope="col" class="number wide">Tool calls</th><th scope="col" class="number">Cost</th></tr></thead>
      <tbody>${shown.map((row) => html`<tr key=${row.session} data-row>
        <td><a href=${address(`sessions/${encodeURIComponent(row.session)}`)} title=${row.session}>${row.session.slice(0, 8)}</a></td>
        <td class="grow" title=${row.cwd}>${last(row.cwd)}</td><td class="wide">${row.agent}</td>
        <td class="number" title=${row.last_at}>${ago(row.last_at, now.value)}</td>
        <td class="number wide">${whole(row.turns)}</td><td class="number wide">${whole(row.requests)}</td><td class="number wide">${whole(row.tool_calls)}</td>
        <td class="number" title=${exactUsd(row.cost_nano_usd)}>${usd(row.cost_usd)}</td></tr>`)}</tbody></table>`}
    ${!isAll && rows.value.length > 0 && html`<p><button type="button" disabled=${isLoading} onClick=${() => load(rows.value.length)}>More</button></p>`}
    ${isAll && shown.length === 0 && html`<p class="empty">${searched ? `No session has “${searched}” in its id, folder, agent or host.` : "No sessions yet."}</p>`}
  </section>`;
}
