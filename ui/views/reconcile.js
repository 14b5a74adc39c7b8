// What the witnesses of the same work disagree on, and what was believed.
import { html, useState } from "../lib.js";
import { useAnswer } from "../api.js";
import { UNKNOWN, cost, exactUsd, last, percent, usd, whole } from "../format.js";
import { address, filters, narrow, only, range } from "../state.js";
import { Figure } from "../parts/figure.js";
import { witnessName } from "../parts/names.js";
import { Empty, shown } from "../parts/states.js";
import { Name, Table } from "../parts/table.js";

/** @typedef {import("../parts/table.js").Column} Column */

/** What a difference comes to: unknown where nothing of it is known. @param {any} of */
function difference({ difference_usd, unknown_differences }) {
  if (unknown_differences === 0) return usd(difference_usd);
  return difference_usd === 0 ? UNKNOWN : html`${usd(difference_usd)}<span class="warn" title=${`and ${whole(unknown_differences)} where no price is known`}> +?</span>`;
}

/** @param {number} count @param {number} of */
function disputed(count, of) {
  return count === 0 ? html`<span class="muted">0</span>` : html`<span class="warn">${whole(count)}</span> <small class="muted share">${of > 0 ? percent(count / of) : ""}</small>`;
}

/** @type {Column[]} */
const TOLD = [
  { name: "witnesses", label: "Told by", isText: true, of: (row) => row.witnesses.map(witnessName).join(", "), cell: (row) => (row.witnesses ? html`<span class="wrap">${row.witnesses.map(witnessName).join(", ") || "nobody"}</span>` : "") },
  { name: "agent", label: "Agent", isText: true, of: (row) => row.agent ?? null, cell: (row) => (row.agent ? html`<${Name} name=${row.agent} onPick=${() => narrow("agent", row.agent)} />` : "") },
  { name: "requests", label: "Requests", of: (row) => row.requests, cell: (row) => whole(row.requests) },
  { name: "sums", label: "Sums", hint: "sums of requests that nobody told one by one", isWide: true, of: (row) => row.sums, cell: (row) => whole(row.sums) },
  { name: "disputed_requests", label: "Disputed", hint: "of which somebody claims something else than is believed", of: (row) => row.disputed_requests, cell: (row) => disputed(row.disputed_requests, row.requests + row.sums) },
  { name: "difference_nano_usd", label: "Difference", hint: "what the claims that are not believed would cost more or less, without signs", isWide: true, of: (row) => row.difference_usd, cell: difference, exact: (row) => exactUsd(row.difference_nano_usd) },
  { name: "cost_nano_usd", label: "Cost", isWide: true, of: (row) => row.cost_usd, cell: (row) => cost(row.cost_usd, row.unpriced_requests), exact: (row) => exactUsd(row.cost_nano_usd) },
];

/** @param {string} name */
function fieldName(name) {
  return name.replaceAll("_", " ");
}

/** What each witness of a session told of each field, and which facts they tell otherwise. @param {{ session: string }} properties */
function Claims({ session }) {
  const answer = useAnswer("reconcile", { session });
  return shown(answer, "what its witnesses said", ({ rows: [row] }) => html`
    <p><a href=${address(`sessions/${encodeURIComponent(session)}`)}>Open the session</a></p>
    <div class="sideways"><table class="rows"><thead><tr><th scope="col">Field</th><th scope="col">Witness</th><th scope="col" class="number">Differ</th><th scope="col" class="number">Claimed</th><th scope="col" class="number">Believed</th></tr></thead>
      <tbody>${row.fields.flatMap((/** @type {any} */ { field, rule, believed, claims }) => claims.map((/** @type {any} */ claim) => html`<tr key=${`${field} ${claim.witness}`}><th scope="row" class="grow" title=${`believed first: ${rule}`}>${fieldName(field)}</th>
        <td>${witnessName(claim.witness)}</td><td class="number">${disputed(claim.differing, claim.told)}</td><td class="number">${claim.claimed === undefined ? "" : whole(claim.claimed)}</td><td class="number">${believed === null ? "" : whole(claim.believed ?? believed)}</td></tr>`))}</tbody></table></div>
    ${row.disagreements.length > 0 && html`<div class="sideways"><table class="rows"><thead><tr><th scope="col">Of</th><th scope="col">Field</th><th scope="col">Claims</th><th scope="col">Believed</th><th scope="col" class="number">Difference</th></tr></thead>
      <tbody>${row.disagreements.slice(0, MOST).map((/** @type {any} */ one) => html`<tr key=${`${one.request ?? one.tool_call} ${one.field}`}><td title=${one.request ?? one.tool_call}><code>${(one.request ?? one.tool_call).slice(-12)}</code></td><td>${fieldName(one.field)}</td>
        <td class="grow">${one.claims.map((/** @type {any} */ claim) => `${witnessName(claim.witness)} ${claim.value}`).join(", ")}</td><td>${one.believed}</td><td class="number">${one.tool_call ? "" : usd(one.difference_usd)}</td></tr>`)}</tbody></table></div>
      ${row.disagreements.length > MOST && html`<p class="note">and ${whole(row.disagreements.length - MOST)} more: <code>ducat reconcile --session ${session}</code></p>`}`}`, 6);
}

/** Disagreements of a session that are drawn. */
const MOST = 100;

/** A disputed session; who said what of it is asked for when it is opened. @param {{ row: any }} properties */
function Disputed({ row }) {
  const [isOpen, setOpen] = useState(false);
  const { session, agent, project, cwd, requests, disputed_requests, fields } = row;
  return html`<details onToggle=${(/** @type {any} */ event) => setOpen(event.currentTarget.open)}>
    <summary><code>${session?.slice(0, 8) ?? "no session"}</code> <span class="muted">${last(project ?? cwd) || agent}:</span> ${whole(disputed_requests)}${requests === null ? "" : ` of ${whole(requests)}`} ${disputed_requests === 1 && requests === null ? "request" : "requests"} disputed, ${fields.map(fieldName).join(", ")}, by ${difference(row)}</summary>
    ${isOpen && (session ? html`<${Claims} session=${session} />` : html`<${Empty}>These requests belong to no session, so that they are not compared one by one.<//>`)}
  </details>`;
}

/** Filters that coverage is known by. */
const KNOWN = ["agent"];

export function Reconcile() {
  const answer = useAnswer("coverage", only(KNOWN));
  const { data } = answer;
  const totals = data?.totals;
  const alone = (data?.rows ?? []).filter((/** @type {any} */ row) => row.witnesses.length === 1).reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + row.requests, 0);
  const ignored = filters.value.filter(({ name }) => !KNOWN.includes(name)).map(({ name }) => name);
  const verdict = () => (totals.requests + totals.sums === 0 ? ["", "nothing to compare"] : totals.disputed_requests > 0 ? ["warn", "witnesses disagree"]
    : alone === totals.requests ? ["", "one witness each: nothing contradicts it, nothing confirms it"] : ["good", "all witnesses agree"]);
  return html`
    ${ignored.length > 0 && html`<p class="note">Witnesses are compared by agent; the filter by ${ignored.join(", ")} does not hold here.</p>`}
    <div class="figures">
      <${Figure} size="first" title=${`Difference, ${range.value.label.toLowerCase()}`} answer=${answer} value=${totals && difference(totals)} exact=${exactUsd(totals?.difference_nano_usd)}>
        ${totals && html`<p class=${`note ${verdict()[0]}`}>${verdict()[1]}</p><p class="note">of ${cost(totals.cost_usd, totals.unpriced_requests)}</p>`}
      <//>
      <${Figure} title="Requests" answer=${answer} value=${whole(totals?.requests)}>${totals?.sums > 0 && html`<p class="note">and ${whole(totals.sums)} sums</p>`}<//>
      <${Figure} title="Disputed" answer=${answer} value=${whole(totals?.disputed_requests)}><p class="note">${totals && `in ${whole(totals.disputed_sessions)} ${totals.disputed_sessions === 1 ? "session" : "sessions"}`}</p><//>
      <${Figure} title="By one witness" answer=${answer} value=${whole(alone)}><p class="note">${totals?.requests > 0 && percent(alone / totals.requests)} told by nobody else</p><//>
    </div>
    ${shown(answer, "who told", ({ rows, disputed }) => html`
      <section class="card"><h2>Who told</h2>${rows.length === 0 ? html`<${Empty}>No witness told of a request in this time.<//>` : html`<${Table} title="who told" columns=${TOLD} rows=${rows} first="requests" total=${totals} keyOf=${(/** @type {any} */ row) => `${row.witnesses} ${row.agent}`} />`}</section>
      <section class="card"><h2>Disputed sessions <span class="muted">the costliest first</span></h2>${disputed.length === 0 ? html`<${Empty}>None: whatever two witnesses told of, they told the same.<//>`
        : disputed.map((/** @type {any} */ row) => html`<${Disputed} key=${`${row.session} ${row.agent}`} row=${row} />`)}
        ${totals.disputed_sessions > disputed.length && html`<p class="note">and ${whole(totals.disputed_sessions - disputed.length)} more: <code>ducat reconcile</code></p>`}</section>`, 10)}`;
}
