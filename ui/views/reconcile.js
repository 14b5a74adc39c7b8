// What the witnesses of the same work disagree on, and what was believed.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { day } from "../calendar.js";
import { UNKNOWN, last, moment, percent, usd, whole } from "../format.js";
import { address, asked, filters, now, range, zone } from "../state.js";
import { Figure } from "../parts/figure.js";
import { witnessName } from "../parts/names.js";
import { Empty, shown } from "../parts/states.js";
import { Table } from "../parts/table.js";

/** @typedef {import("../parts/table.js").Column} Column */

/** Sessions are compared whole, so that days are enough. */
function parameters() {
  const { from, to } = range.value;
  const agent = filters.value.find(({ name, value }) => name === "agent" && value !== "");
  return { timezone: asked.value.timezone, ...(from === null ? {} : { since: day(from, zone.value) }), until: day(to - 1, zone.value), ...(agent ? { agent: agent.value } : {}) };
}

/** @type {Column[]} */
const WITNESSES = [
  { name: "witness", label: "Witness", isText: true, of: (row) => row.witness, cell: (row) => witnessName(row.witness) },
  { name: "sessions", label: "Sessions", hint: "that it told of", of: (row) => row.sessions, cell: (row) => whole(row.sessions) },
  { name: "requests", label: "Requests", of: (row) => row.requests, cell: (row) => whole(row.requests) },
  { name: "requests_told_alone", label: "Alone", hint: "requests that nobody else told of", isWide: true, of: (row) => row.requests_told_alone, cell: (row) => whole(row.requests_told_alone) },
  { name: "tool_calls", label: "Tool calls", isWide: true, of: (row) => row.tool_calls, cell: (row) => whole(row.tool_calls) },
  { name: "differing_requests", label: "Differ", hint: "requests that it tells otherwise than is believed", of: (row) => row.differing_requests, cell: (row) => (row.differing_requests > 0 ? html`<span class="warn">${whole(row.differing_requests)}</span>` : "0") },
  { name: "difference_usd", label: "By", hint: "what its requests would cost as it tells them, less what they cost as believed", of: (row) => row.difference_usd, cell: (row) => usd(row.difference_usd) },
];

/** Claims by field and witness, over all sessions. @param {any[]} rows */
function fields(rows) {
  /** @type {Map<string, any>} */
  const all = new Map();
  for (const { fields } of rows) {
    for (const { field, rule, claims } of fields) {
      for (const { witness, told, differing, claimed, believed } of claims) {
        const key = `${field} ${witness}`;
        const known = all.get(key) ?? { key, field, witness, rule, told: 0, differing: 0, claimed: null, believed: null };
        all.set(key, { ...known, told: known.told + told, differing: known.differing + differing,
          claimed: claimed === undefined ? null : (known.claimed ?? 0) + claimed, believed: believed === undefined ? null : (known.believed ?? 0) + believed });
      }
    }
  }
  return [...all.values()];
}

/** @param {string} name */
function fieldName(name) {
  return name.replaceAll("_", " ");
}

/** @type {Column[]} */
const FIELDS = [
  { name: "field", label: "Field", isText: true, of: (row) => `${row.field} ${row.witness}`, cell: (row) => fieldName(row.field), exact: (row) => `believed first: ${row.rule}` },
  { name: "witness", label: "Witness", isText: true, of: (row) => row.witness, cell: (row) => witnessName(row.witness) },
  { name: "told", label: "Told", hint: "times that it told this field", isWide: true, of: (row) => row.told, cell: (row) => whole(row.told) },
  { name: "differing", label: "Differ", of: (row) => row.differing, cell: (row) => (row.differing > 0 ? html`<span class="warn">${whole(row.differing)}</span>` : "0") },
  { name: "claimed", label: "Claimed", isWide: true, of: (row) => row.claimed, cell: (row) => (row.claimed === null ? "" : whole(row.claimed)) },
  { name: "believed", label: "Believed", isWide: true, of: (row) => row.believed, cell: (row) => (row.believed === null ? "" : whole(row.believed)) },
];

/** @param {any} session */
function differs({ disagreements, difference_usd, unknown_differences, differing_requests }) {
  return disagreements.length > 0 || difference_usd !== 0 || unknown_differences > 0 || differing_requests > 0;
}

/** A session's disagreements: who said what, and what was believed. @param {{ session: any }} properties */
function Differing({ session }) {
  const { disagreements } = session;
  return html`<details><summary>${session.session ? html`<a href=${address(`sessions/${encodeURIComponent(session.session)}`)}>${session.session.slice(0, 8)}</a>` : "no session"} <span class="muted">${session.agent}${session.last_at && `, ${moment(session.last_at, zone.value, now.value)}`}:</span>
      ${" "}${whole(session.differing_requests)} of ${whole(session.requests)} requests differ, by ${session.unknown_differences > 0 ? UNKNOWN : usd(session.difference_usd)}</summary>
    ${disagreements.length === 0 ? html`<${Empty}>Its requests agree; a sum of telemetry over the session does not.<//>` : html`<div class="sideways"><table class="rows"><thead><tr><th scope="col">Of</th><th scope="col">Field</th><th scope="col">Claims</th><th scope="col">Believed</th><th scope="col" class="number">Difference</th></tr></thead>
      <tbody>${disagreements.map((/** @type {any} */ one) => html`<tr key=${`${one.request ?? one.tool_call} ${one.field}`}><td title=${one.request ?? one.tool_call}><code>${last(one.request ?? one.tool_call).slice(-12)}</code></td><td>${fieldName(one.field)}</td>
        <td class="grow">${one.claims.map((/** @type {any} */ claim) => `${witnessName(claim.witness)} ${claim.value}`).join(", ")}</td><td>${one.believed}</td><td class="number">${one.difference_usd === null ? UNKNOWN : usd(one.difference_usd)}</td></tr>`)}</tbody></table></div>`}
  </details>`;
}

/** Sessions shown with their differences. */
const MOST = 100;

export function Reconcile() {
  const answer = useAnswer("reconcile", parameters());
  const { data } = answer;
  const totals = data?.totals;
  const ignored = filters.value.filter(({ name }) => name !== "agent").map(({ name }) => name);
  const several = (totals?.witnesses ?? []).filter((/** @type {any} */ one) => one.requests > 0).length > 1;
  return html`
    ${ignored.length > 0 && html`<p class="note">Witnesses are compared by agent; the filter by ${ignored.join(", ")} does not hold here.</p>`}
    <div class="figures">
      <${Figure} size="first" title=${`Difference, ${range.value.label.toLowerCase()}`} answer=${answer} value=${totals && (totals.unknown_differences > 0 ? UNKNOWN : usd(totals.difference_usd))}>
        ${data && html`<p class=${data.agreed ? "note good" : "note warn"}>${totals.requests === 0 ? "nothing to compare" : !data.agreed ? "witnesses disagree" : several ? "all witnesses agree" : "one witness only: nothing contradicts it, nothing confirms it"}</p>
        <p class="note">of ${usd(totals.cost_usd)} by ${whole(totals.sessions)} sessions, compared whole</p>`}
      <//>
      <${Figure} title="Requests" answer=${answer} value=${whole(totals?.requests)} />
      <${Figure} title="Told differently" answer=${answer} value=${whole(totals?.differing_requests)}>${totals?.requests > 0 && html`<p class="note">${percent(totals.differing_requests / totals.requests)}</p>`}<//>
      <${Figure} title="Unconfirmed" answer=${answer} value=${whole(totals?.unconfirmed_requests)}><p class="note">without an id, by one witness</p><//>
    </div>
    ${shown(answer, "what witnesses said", ({ rows, totals }) => {
    const sessions = rows.filter(differs);
    return html`
      <section class="card"><h2>Witnesses</h2>${totals.witnesses.length === 0 ? html`<${Empty}>No witness told of a session in this time.<//>` : html`<${Table} title="witnesses" columns=${WITNESSES} rows=${totals.witnesses} first="requests" />`}</section>
      ${totals.witnesses.length > 0 && html`<section class="card"><h2>By field</h2><${Table} title="claims by field" columns=${FIELDS} rows=${fields(rows)} first="differing" /></section>`}
      <section class="card"><h2>Sessions with differences</h2>${sessions.length === 0 ? html`<${Empty}>None: whatever two witnesses told of, they told the same.<//>` : sessions.slice(0, MOST).map((/** @type {any} */ session) => html`<${Differing} key=${session.session} session=${session} />`)}
        ${sessions.length > MOST && html`<p class="note">and ${whole(sessions.length - MOST)} more: <code>ducat reconcile</code></p>`}</section>`;
  }, 10)}`;
}
