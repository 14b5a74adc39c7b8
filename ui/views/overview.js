// What is spent, whether that is normal, and on what.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { ago, exactUsd, last, usd, whole } from "../format.js";
import { address, ask, asked, before, day, now, place, plus, range, zone } from "../state.js";
import { monthEnd } from "../forecast.js";
import { grain, slots, stacks, sums } from "../slots.js";
import { Bars } from "../parts/chart.js";
import { Delta, Figure } from "../parts/figure.js";
import { Notices } from "../parts/notices.js";
import { Quotas } from "../parts/quota.js";
import { Ranking } from "../parts/ranking.js";
import { Empty, shown } from "../parts/states.js";
import { Ticker } from "../parts/ticker.js";
import { FirstRun } from "../parts/first_run.js";
import { TokenKinds } from "../parts/token_kinds.js";

/** What spend can be cut by. @type {[dimension: string, title: string][]} */
const DIMENSIONS = [["model", "Model"], ["project", "Project"], ["agent", "Agent"], ["user", "User"], ["team", "Team"], ["host", "Host"], ["branch", "Branch"]];

/** @param {string} dimension @param {string} name */
function label(dimension, name) {
  return dimension === "project" ? last(name) || name : name;
}

/** What of a cost is no bill. @param {any} report by billing */
function planShare(report) {
  const plan = report.rows.find((/** @type {any} */ row) => row.billing === "plan")?.cost_usd ?? 0;
  if (plan === 0) return null;
  return html`<p class="note">${plan >= (report.totals.cost_usd ?? 0) * 0.9995 ? "list-price value on a plan, no bill" : `${usd(plan)} of it list-price value on a plan`}</p>`;
}

/** @param {{ report: any, past: any }} properties */
function Spend({ report, past }) {
  const { totals } = report;
  const unpriced = totals.unpriced_requests;
  return html`<${Figure} size="first" title=${`Spend, ${range.value.label.toLowerCase()}`} value=${usd(totals.cost_usd)} exact=${exactUsd(totals.cost_nano_usd)}>
    <p class="note"><${Delta} value=${totals.cost_usd ?? 0} before=${past?.totals.cost_usd} /></p>
    <p class="note">${whole(totals.requests)} requests${unpriced > 0 && html`, <span class="warn" title=${totals.unpriced_models.join(", ")}>${whole(unpriced)} of unknown price</span>`}${
      totals.estimated_requests > 0 && html`, ${whole(totals.estimated_requests)} estimated and not in the sum`}</p>
    ${planShare(report)}
  <//>`;
}

function Today() {
  const today = range.value.today;
  const parameters = { by: "billing", since: today, until: today, timezone: zone.value };
  const answer = useAnswer("report", parameters);
  const sessions = useAnswer("sessions", { limit: "50" });
  return shown(answer, "today's spend", (data) => {
    const live = (sessions.data?.rows ?? []).filter((/** @type {any} */ row) => !row.ended_at && row.last_at && now.value - Date.parse(row.last_at) < 10 * 60_000).length;
    return html`<${Figure} title="Today" value=${usd(data.totals.cost_usd)} exact=${exactUsd(data.totals.cost_nano_usd)}>
      <p class="note">${whole(data.totals.requests)} requests</p>
      <p class="note">${live ? html`<b class="good">${live} ${live === 1 ? "session" : "sessions"} live</b>` : "no session in the last 10 minutes"}</p>
    <//>`;
  });
}

function Month() {
  const today = day(now.value, zone.value);
  const answer = useAnswer("report", { by: "daily", since: plus(today, -59), until: today, timezone: zone.value });
  return shown(answer, "the month's spend", (data) => {
    const days = data.rows.map((/** @type {any} */ row) => ({ date: row.date ?? "", usd: row.cost_usd ?? 0 })).filter((/** @type {any} */ row) => row.date);
    const spent = days.filter((/** @type {any} */ row) => row.date.startsWith(today.slice(0, 7))).reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + row.usd, 0);
    const end = monthEnd(days, today);
    return html`<${Figure} title="This month" value=${usd(spent)}>
      ${end ? html`<p class="note" title=${`spent so far, and the mean of the last ${end.days} full days for each to come; four of five months end within the band`}>
        heading for <b>${usd(end.usd)}</b> ± ${usd(end.band)}</p>` : html`<p class="note">a forecast needs three full days</p>`}
    <//>`;
  });
}

/** @param {{ dimension: string }} properties */
function Chart({ dimension }) {
  const { since, until, today } = range.value;
  const from = since ?? plus(until, -364);
  const by = grain(from, until);
  const past = before.value;
  const answer = useAnswer("report", { ...asked.value, since: from, by, breakdown: dimension });
  const old = useAnswer(past ? "report" : null, { ...asked.value, ...(past ?? {}), by });
  return shown(answer, "spend over time", (data) => {
    const bars = slots(from, until, by, today);
    const series = stacks(data.rows, by, dimension, bars, (name) => label(dimension, name));
    const compared = past && old.data ? sums(old.data.rows, by, slots(past.since, past.until, by, today)).slice(0, bars.length) : null;
    const pick = (/** @type {string} */ name) => name !== "\0" && name !== "" && ["model", "project", "agent"].includes(dimension) && ask({ [dimension]: name });
    return html`<${Bars} title=${`Spend by ${dimension}`} slots=${bars} series=${series} before=${compared} format=${usd} onPick=${pick}
      onRange=${(/** @type {any} */ first, /** @type {any} */ end) => ask({ range: null, since: first.from, until: end.until })} />`;
  }, 8);
}

/** @param {{ dimension: string, title: string }} properties */
function Where({ dimension, title }) {
  const answer = useAnswer("report", { ...asked.value, by: dimension });
  return html`<section class="card"><h2>${title}</h2>${shown(answer, `spend by ${dimension}`, (data) => html`<${Ranking} rows=${data.rows.map((/** @type {any} */ row) => ({
    name: row[dimension] ?? "", label: label(dimension, row[dimension] ?? "") || "unattributed", title: row[dimension] ?? "told by no witness",
    nano: BigInt(row.cost_nano_usd ?? 0), isUnknown: row.cost_nano_usd === null || (row.unpriced_requests > 0 && row.cost_usd === 0),
    onPick: row[dimension] && ["model", "project", "agent"].includes(dimension) ? () => ask({ [dimension]: row[dimension] }) : undefined,
  }))} />`, 6)}</section>`;
}

function Recent() {
  const answer = useAnswer("sessions", { limit: "8" });
  return html`<section class="card"><h2>Last sessions <a class="more" href=${address("sessions")}>all</a></h2>${shown(answer, "sessions", (data) => data.rows.length === 0
    ? html`<${Empty}>Sessions show here as they are written.<//>`
    : html`<table class="rows"><tbody>${data.rows.map((/** @type {any} */ row) => html`<tr key=${row.session} data-row>
        <td><a href=${address(`sessions/${encodeURIComponent(row.session)}`)} title=${row.session}>${row.session.slice(0, 8)}</a></td>
        <td class="grow" title=${row.cwd}>${last(row.cwd) || row.agent}</td>
        <td class="number muted">${ago(row.last_at, now.value)}</td>
        <td class="number" title=${exactUsd(row.cost_nano_usd)}>${usd(row.cost_usd)}</td></tr>`)}</tbody></table>`, 8)}</section>`;
}

export function Overview() {
  const dimension = place.value.query.get("by") ?? "model";
  const past = before.value;
  const report = useAnswer("report", { ...asked.value, by: "billing" });
  const old = useAnswer(past ? "report" : null, { ...asked.value, ...(past ?? {}), by: "billing" });
  const all = useAnswer("sessions", { limit: "1" });
  if (all.data && all.data.rows.length === 0 && report.data?.totals.requests === 0) return html`<${Notices} /><${FirstRun} />`;
  return html`
    <${Notices} />
    <div class="figures">
      ${shown(report, "spend", (data) => html`<${Spend} report=${data} past=${old.data} />`)}
      <${Today} /><${Month} /><${Quotas} />
    </div>
    <section class="card">
      <h2>Spend by <select aria-label="Spend by" value=${dimension} onChange=${(/** @type {any} */ event) => ask({ by: event.currentTarget.value === "model" ? null : event.currentTarget.value })}>
        ${DIMENSIONS.map(([name, title]) => html`<option key=${name} value=${name}>${title}</option>`)}</select></h2>
      <${Chart} dimension=${dimension} />
    </section>
    <div class="columns">
      <${Where} dimension=${dimension === "project" ? "model" : "project"} title=${dimension === "project" ? "Models" : "Projects"} />
      <section class="card"><h2>Tokens</h2>${shown(report, "tokens", (data) => html`<${TokenKinds} totals=${data.totals} />`)}</section>
      <${Ticker} />
      <${Recent} />
    </div>`;
}
