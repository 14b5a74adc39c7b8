// Who told of the work, where witnesses disagree, and what was believed.
import { html, useSignal } from "../lib.js";
import { useAnswer } from "../api.js";
import { UNKNOWN, exactUsd, percent, usd, whole } from "../format.js";
import { address, filters, only, range } from "../state.js";
import { Figure } from "../parts/figure.js";
import { labels, witnessName } from "../parts/names.js";
import { Empty, shown } from "../parts/states.js";
import { Table } from "../parts/table.js";

/** @typedef {import("../parts/table.js").Column} Column */

/** What is known of a difference: some of it may be of no price. @param {{ difference_usd: number, unknown_differences: number }} of */
function difference({ difference_usd, unknown_differences }) {
  return unknown_differences > 0 && difference_usd === 0 ? UNKNOWN : usd(difference_usd);
}

/** Requests told by these witnesses, and sums of requests that nobody told of. @param {{ requests: number, sums: number }} row */
function told({ requests, sums }) {
  return sums === 0 ? whole(requests) : `${whole(requests)} and ${whole(sums)} ${sums === 1 ? "sum" : "sums"}`;
}

/** @param {any} row */
function tellers({ witnesses }) {
  return witnesses.map(witnessName).join(", ");
}

/** @param {any} totals @param {boolean} hasAgents @returns {Column[]} */
function coverage(totals, hasAgents) {
  const agent = { name: "agent", label: "Agent", isText: true, of: (/** @type {any} */ row) => row.agent };
  return [
    { name: "witnesses", label: "Told by", isText: true, of: tellers, cell: (row) => html`<span class="wrap">${tellers(row)}</span>` },
    ...(hasAgents ? [agent] : []),
    { name: "requests", label: "Requests", hint: "that all of these told of, and nobody else", of: (row) => row.requests, cell: told },
    { name: "share", label: "Share", isWide: true, of: (row) => row.requests / totals.requests || 0, cell: (row) => percent(row.requests / totals.requests || 0) },
    { name: "cost_usd", label: "Cost", isWide: true, of: (row) => row.cost_usd, cell: (row) => (row.unpriced_requests > 0 && row.cost_usd === 0 ? UNKNOWN : usd(row.cost_usd)), exact: (row) => exactUsd(row.cost_nano_usd) },
    { name: "disputed_requests", label: "Differ", hint: "of which one tells otherwise than is believed", of: (row) => row.disputed_requests, cell: (row) => (row.disputed_requests > 0 ? html`<span class="warn">${whole(row.disputed_requests)}</span>` : "0") },
    { name: "difference_usd", label: "By", isWide: true, hint: "what they would cost as told otherwise, more or less", of: (row) => row.difference_usd, cell: difference, exact: (row) => exactUsd(row.difference_nano_usd) },
  ];
}

/** @param {string} name */
function fieldName(name) {
  return name.replaceAll("_", " ");
}

/** Disagreements of a session that are shown. */
const MOST = 50;

/** Who said what of a session's requests, and what was believed: asked for when it is looked at. @param {{ session: string }} properties */
function Claims({ session }) {
  return shown(useAnswer("reconcile", { session }), "what witnesses said of it", ({ rows }) => rows.map((/** @type {any} */ row) => html`<div key=${row.session}>
    <p><a href=${address(`sessions/${encodeURIComponent(session)}`)}>Open the session</a></p>
    ${row.sums.map((/** @type {any} */ sum) => html`<p key=${sum.witness} class="note">Sums of ${witnessName(sum.witness)} are ${sum.difference_usd === null ? "of unknown difference to" : sum.difference_usd === 0 ? "as" : `${usd(sum.difference_usd)} off`} what is believed of the session.</p>`)}
    ${row.disagreements.length === 0 ? html`<${Empty}>Its witnesses agree now.<//>` : html`<div class="sideways"><table class="rows"><thead><tr><th scope="col">Of</th><th scope="col">Field</th><th scope="col">Claims</th><th scope="col">Believed</th><th scope="col" class="number">Difference</th></tr></thead>
      <tbody>${row.disagreements.slice(0, MOST).map((/** @type {any} */ one) => html`<tr key=${`${one.request ?? one.tool_call} ${one.field}`}><td title=${one.request ?? one.tool_call}><code>${(one.request ?? one.tool_call).slice(-12)}</code></td><td>${fieldName(one.field)}</td>
        <td class="grow">${one.claims.map((/** @type {any} */ claim) => `${witnessName(claim.witness)} ${claim.value}`).join(", ")}</td><td>${one.believed}</td><td class="number" title=${exactUsd(one.difference_nano_usd)}>${one.tool_call ? "" : usd(one.difference_usd)}</td></tr>`)}</tbody></table></div>`}
    ${row.disagreements.length > MOST && html`<p class="note">and ${whole(row.disagreements.length - MOST)} more: <code>ducat reconcile --session ${session}</code></p>`}
  </div>`), 4);
}

/** A session with disputed requests. @param {{ row: any, label: (name: string) => string }} properties */
function Disputed({ row, label }) {
  const isOpen = useSignal(false);
  const project = row.project ?? row.cwd;
  const about = html`<code>${row.session?.slice(0, 8) ?? "no session"}</code> ${project && html`<span title=${project}>${label(project)}</span> `}<span class="muted">${row.agent}:</span>
    ${" "}${whole(row.disputed_requests)}${row.requests !== null && ` of ${whole(row.requests)}`} requests differ${" "}
    <span title=${exactUsd(row.difference_nano_usd)}>by ${difference(row)}</span>, <span class="muted">in ${row.fields.map(fieldName).join(", ")}</span>`;
  if (row.session === null) return html`<p>${about}</p>`;
  return html`<details onToggle=${(/** @type {any} */ event) => (isOpen.value = event.currentTarget.open)}><summary>${about}</summary>${isOpen.value && html`<${Claims} session=${row.session} />`}</details>`;
}

/** @param {{ data: any }} properties */
function Verdict({ data: { rows, totals } }) {
  const isSeveral = rows.some((/** @type {any} */ row) => row.witnesses.length > 1);
  if (totals.requests + totals.sums === 0) return html`<p class="note">nothing to compare</p>`;
  if (totals.disputed_requests > 0) {
    const unpriced = totals.unknown_differences > 0 ? `, ${whole(totals.unknown_differences)} times where no price is known` : "";
    return html`<p class="note warn">witnesses disagree in ${whole(totals.disputed_sessions)} ${totals.disputed_sessions === 1 ? "session" : "sessions"}${unpriced}</p>`;
  }
  return isSeveral ? html`<p class="note good">all witnesses agree</p>` : html`<p class="note">one witness only: nothing contradicts it, nothing confirms it</p>`;
}

export function Reconcile() {
  const answer = useAnswer("coverage", only(["agent"]));
  const { data } = answer;
  const totals = data?.totals;
  const ignored = filters.value.filter(({ name }) => name !== "agent").map(({ name }) => name);
  const confirmed = data?.rows.reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + (row.witnesses.length > 1 ? row.requests : 0), 0);
  const share = (/** @type {number} */ count) => totals?.requests > 0 && html`<p class="note">${percent(count / totals.requests)}</p>`;
  return html`
    ${ignored.length > 0 && html`<p class="note">Witnesses are compared by agent; the filter by ${ignored.join(", ")} does not hold here.</p>`}
    <div class="figures">
      <${Figure} size="first" title=${`Difference, ${range.value.label.toLowerCase()}`} answer=${answer} value=${totals && difference(totals)} exact=${totals && exactUsd(totals.difference_nano_usd)}>
        ${data && html`<${Verdict} data=${data} /><p class="note">of ${totals.unpriced_requests > 0 && totals.cost_usd === 0 ? "unknown cost" : usd(totals.cost_usd)}</p>`}
      <//>
      <${Figure} title="Requests" answer=${answer} value=${whole(totals?.requests)}>${totals?.sums > 0 && html`<p class="note">and ${whole(totals.sums)} ${totals.sums === 1 ? "sum" : "sums"} of requests that nobody told singly</p>`}<//>
      <${Figure} title="Confirmed" answer=${answer} value=${whole(confirmed)}>${share(confirmed)}<p class="note">by two witnesses or more</p><//>
      <${Figure} title="Told differently" answer=${answer} value=${whole(totals?.disputed_requests)}>${share(totals?.disputed_requests)}<//>
    </div>
    ${shown(answer, "who told of requests", ({ rows, totals, disputed }) => {
    const hasAgents = new Set(rows.map((/** @type {any} */ row) => row.agent)).size > 1;
    const label = labels("project", disputed.map((/** @type {any} */ row) => row.project ?? row.cwd));
    const sessions = disputed.filter((/** @type {any} */ row) => row.session !== null).length;
    return html`
      <section class="card"><h2>Who told</h2>${rows.length === 0 ? html`<${Empty}>No witness told of a request in this time.<//>` : html`<${Table} title="who told" columns=${coverage(totals, hasAgents)} rows=${rows} first="requests" total=${rows.length > 1 ? { ...totals, witnesses: [], agent: "" } : undefined} />`}</section>
      <section class="card"><h2>Sessions with differences</h2>${disputed.length === 0 ? html`<${Empty}>None: whatever two witnesses told of, they told the same.<//>` : disputed.map((/** @type {any} */ row) => html`<${Disputed} key=${`${row.session} ${row.agent}`} row=${row} label=${label} />`)}
        ${totals.disputed_sessions > sessions && html`<p class="note">and ${whole(totals.disputed_sessions - sessions)} more that cost less</p>`}</section>`;
  }, 10)}`;
}
