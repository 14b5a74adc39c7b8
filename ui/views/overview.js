// What is spent, whether that is normal, and on what.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { ago, cost, exactCost, last, moment, percent, tokens, whole } from "../format.js";
import { FILTERS, address, ask, asked, beforeSoFar, narrow, now, parameters, place, range, zone } from "../state.js";
import { copyable } from "../parts/copy.js";
import { Delta, Glance } from "../parts/figure.js";
import { Movers } from "../parts/movers.js";
import { DIMENSIONS, labels } from "../parts/names.js";
import { Notices } from "../parts/notices.js";
import { Quotas } from "../parts/quota.js";
import { Ranking } from "../parts/ranking.js";
import { SpendChart } from "../parts/spend_chart.js";
import { Lately, Spend } from "../parts/spend.js";
import { Empty, shown } from "../parts/states.js";
import { Ticker } from "../parts/ticker.js";
import { FirstRun } from "../parts/first_run.js";
import { TokenKinds, sent } from "../parts/token_kinds.js";
import { asksOfCalls } from "./tools.js";

/** The rest of what a lead asks first, in a line. @param {{ report: import("../api.js").Answer, past: any, heardAt: string | null }} properties */
function Glances({ report, past, heardAt }) {
  const calls = useAnswer("tools", asksOfCalls());
  const live = useAnswer("sessions", { ...parameters({ since: null, until: range.value.today }), live: "true", limit: "1" });
  const totals = report.data?.totals;
  const told = calls.data?.totals;
  return html`<dl class="card glances">
    <${Glance} label="Requests" answer=${report} value=${whole(totals?.requests)} note=${totals && html`<${Delta} value=${totals.requests} before=${past?.totals.requests} moreIsBad=${false} />`} />
    <${Glance} label="Tokens" answer=${report} value=${totals && tokens(sent(totals) + totals.output_tokens)} exact=${totals && `${whole(sent(totals) + totals.output_tokens)} tokens`} note=${totals && `${tokens(totals.output_tokens)} of it output`} />
    <${Glance} label="Cache hit ratio" answer=${report} value=${totals && percent(sent(totals) > 0 ? totals.cache_read_tokens / sent(totals) : null)} note="of what was sent" />
    <${Glance} label="Failed tool calls" answer=${calls} value=${whole(told?.failed)} note=${told && html`<a href=${address("tools")}>${told.calls > 0 ? `${percent(told.failed / told.calls)} of ${whole(told.calls)}` : "of none"}</a>`} />
    <${Glance} label="Live sessions" answer=${live} value=${live.data && html`<a class="plain" href=${address("sessions", { live: "true", range: "all", since: null, until: null })}>${whole(live.data.total)}</a>`} note=${heardAt && `last heard ${moment(heardAt, zone.value, now.value)}`} />
  </dl>`;
}

/** @param {{ dimension: string }} properties */
function Where({ dimension }) {
  const answer = useAnswer("report", { ...asked.value, by: dimension });
  return html`<section class="card"><h2>Where it went <span class="muted">by ${dimension}</span></h2>${shown(answer, `spend by ${dimension}`, ({ rows }) => {
    const label = labels(dimension, rows.map((/** @type {any} */ row) => row[dimension]));
    const csv = [[dimension, "cost_nano_usd"], ...rows.map((/** @type {any} */ row) => [row[dimension] ?? "", row.cost_nano_usd ?? ""])];
    return html`<div class="tools">${copyable(`where it went by ${dimension}`, csv)}<a href=${address(dimension === "model" ? "models" : "projects")}>all</a></div><${Ranking} rows=${rows.map((/** @type {any} */ row) => ({
      name: row[dimension] ?? "", label: label(row[dimension] ?? "") || "unattributed", title: row[dimension] ?? "told by no witness",
      nano: BigInt(row.cost_nano_usd ?? 0), unpriced: row.unpriced_requests,
      onPick: FILTERS.includes(dimension) ? () => narrow(dimension, row[dimension] ?? "") : undefined,
    }))} />`;
  }, 6)}</section>`;
}

/** @param {{ dimension: string }} properties */
function Moved({ dimension }) {
  const past = beforeSoFar.value;
  const answer = useAnswer("report", { ...asked.value, by: dimension });
  const old = useAnswer(past ? "report" : null, { ...parameters(past ?? range.value), by: dimension });
  return html`<section class="card"><h2>Top movers <span class="muted">${dimension}, against the period before</span></h2>${past
    ? shown({ ...answer, data: answer.data && old.data, error: answer.error ?? old.error }, "the period before", () => html`<${Movers} dimension=${dimension} rows=${answer.data.rows} past=${old.data.rows} />`, 6)
    : html`<${Empty}>All time has no period before it.<//>`}</section>`;
}

/** @param {{ answer: import("../api.js").Answer }} properties */
function Recent({ answer }) {
  return html`<section class="card"><h2>Last sessions <a class="more" href=${address("sessions")}>all</a></h2>${shown(answer, "sessions", (data) => data.rows.length === 0
    ? html`<${Empty}>Sessions show here as they are written.<//>`
    : html`<table class="rows"><tbody>${data.rows.map((/** @type {any} */ row) => html`<tr key=${row.session} data-row>
        <td><a href=${address(`sessions/${encodeURIComponent(row.session)}`)} title=${row.session}>${row.session.slice(0, 8)}</a></td>
        <td class="grow" title=${row.cwd}>${last(row.cwd) || row.agent}</td>
        <td class="number muted">${ago(row.last_at, now.value)}</td>
        <td class="number" title=${exactCost(row.cost_nano_usd, row.unpriced_requests)}>${cost(row.cost_usd, row.unpriced_requests)}</td></tr>`)}</tbody></table>`, 8)}</section>`;
}

/** When a witness or a session last told anything. @param {any[]} witnesses @param {any[]} sessions */
function latest(witnesses, sessions) {
  const times = [...witnesses.map(({ heard_at }) => heard_at), ...sessions.map(({ last_at }) => last_at)].filter(Boolean).sort();
  return times.at(-1) ?? null;
}

export function Overview() {
  const dimension = place.value.query.get("by") ?? "model";
  const past = beforeSoFar.value;
  const report = useAnswer("report", { ...asked.value, by: "billing" });
  const old = useAnswer(past ? "report" : null, { ...parameters(past ?? range.value), by: "billing" });
  const sessions = useAnswer("sessions", { limit: "8" });
  const witnesses = useAnswer("witnesses").data?.rows ?? [];
  if (sessions.data && sessions.data.rows.length === 0 && report.data?.totals.requests === 0) return html`<${Notices} witnesses=${witnesses} /><${FirstRun} />`;
  const heardAt = latest(witnesses, sessions.data?.rows ?? []);
  return html`
    <${Notices} witnesses=${witnesses} />
    <${Quotas} />
    <div class="figures"><${Spend} answer=${report} past=${past && old.data} /><${Lately} heardAt=${heardAt} /></div>
    <${Glances} report=${report} past=${past && old.data} heardAt=${heardAt} />
    <section class="card">
      <h2>Spend by <select aria-label="Spend by" value=${dimension} onChange=${(/** @type {any} */ event) => ask({ by: event.currentTarget.value === "model" ? null : event.currentTarget.value })}>
        ${DIMENSIONS.map(([name, title]) => html`<option key=${name} value=${name}>${title.toLowerCase()}</option>`)}</select></h2>
      <${SpendChart} key=${dimension} dimension=${dimension} />
    </section>
    <div class="columns">
      <div class="column">
        <${Where} dimension=${dimension === "project" ? "model" : "project"} />
        <section class="card"><h2>Tokens</h2>${shown(report, "tokens", (data) => html`<${TokenKinds} totals=${data.totals} />`)}</section>
        <${Recent} answer=${sessions} />
      </div>
      <div class="column"><${Moved} key=${dimension} dimension=${dimension} /><${Ticker} /></div>
    </div>`;
}
