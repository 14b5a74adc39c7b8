// Headline figures of spend: in the range, today, in seven days, in the month.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { HOUR_MS, QUARTER_MS, day, floorTo, plus, stamp } from "../calendar.js";
import { cost, exactUsd, isUnknown, moment, unsure, usd, whole } from "../format.js";
import { LOOKED_BACK, monthEnd } from "../forecast.js";
import { now, parameters, range, zone } from "../state.js";
import { Delta, Figure } from "./figure.js";

/** Days that the forecast and the figures need: the last two months. */
const DAYS = 60;

/** A cost, with what is missing in it as the tooltip of its mark. @param {number | bigint | null | undefined} value @param {number} [unpriced] */
function figure(value, unpriced = 0) {
  return unpriced > 0 && !isUnknown(value, unpriced) ? html`${cost(value)}<span title=${unsure(unpriced)}> +?</span>` : cost(value, unpriced);
}

/** What of a cost is no bill. @param {any} report by billing */
function planShare(report) {
  const plan = report.rows.find((/** @type {any} */ row) => row.billing === "plan");
  if (!plan || isUnknown(plan.cost_usd, plan.unpriced_requests) || plan.cost_usd === 0) return null;
  const isAll = plan.cost_usd >= report.totals.cost_usd * 0.9995 && plan.unpriced_requests === report.totals.unpriced_requests;
  return html`<p class="note">${isAll ? "list-price value on a plan, no bill" : html`<span title=${unsure(plan.unpriced_requests)}>${cost(plan.cost_usd, plan.unpriced_requests)} of it list-price value on a plan</span>`}</p>`;
}

/** How sure a sum is. @param {any} totals */
function certainty(totals) {
  const unpriced = totals.unpriced_requests;
  return html`<p class="note">${unpriced > 0 ? html`<span class="warn" title=${totals.unpriced_models.join(", ")}>${whole(unpriced)} of ${whole(totals.requests)} requests of unknown price</span>`
    : totals.requests > 0 ? "every request priced" : "no requests"}${totals.estimated_requests > 0 && html`, ${whole(totals.estimated_requests)} estimated and not in the sum`}</p>`;
}

/** @param {{ answer: import("../api.js").Answer, past: any }} properties of reports by billing */
export function Spend({ answer, past }) {
  const totals = answer.data?.totals;
  return html`<${Figure} size="first" title=${`Spend, ${range.value.label.toLowerCase()}`} answer=${answer} value=${figure(totals?.cost_usd, totals?.unpriced_requests)} exact=${exactUsd(totals?.cost_nano_usd)}>
    ${totals && html`<p class="note">${!isUnknown(totals.cost_usd, totals.unpriced_requests) && html`<${Delta} value=${totals.cost_usd} before=${past?.totals.cost_usd} />`}</p>${certainty(totals)}${planShare(answer.data)}`}
  <//>`;
}

/** Spend an hour, of the last three quarters of an hour and the one that runs, and what is not in it. */
function useBurnRate() {
  const since = floorTo(now.value, QUARTER_MS, zone.value) - 3 * QUARTER_MS;
  const { data } = useAnswer("report", { ...parameters({ since: stamp(since), until: stamp(since + 4 * QUARTER_MS) }), by: "agent" });
  return data ? { usd: ((data.totals.cost_usd ?? 0) * HOUR_MS) / Math.max(3 * QUARTER_MS, now.value - since), unpriced: data.totals.unpriced_requests } : null;
}

/** Today, the last seven days and the month, of one answer. @param {{ heardAt: string | null }} properties when a witness last told anything */
export function Lately({ heardAt }) {
  const today = day(now.value, zone.value);
  const answer = useAnswer("report", { ...parameters({ since: plus(today, 1 - DAYS), until: today }), by: "daily" });
  const rate = useBurnRate();
  /** @type {{ date: string, usd: number, nano: bigint, requests: number, unpriced: number }[]} */
  const days = (answer.data?.rows ?? []).filter((/** @type {any} */ row) => row.date).map((/** @type {any} */ row) => ({ date: row.date, usd: row.cost_usd ?? 0, nano: BigInt(row.cost_nano_usd ?? 0), requests: row.requests, unpriced: row.unpriced_requests }));
  const since = (/** @type {string} */ first) => {
    const all = days.filter(({ date }) => date >= first && date <= today);
    const nano = all.reduce((sum, { nano }) => sum + nano, 0n);
    const unpriced = all.reduce((sum, { unpriced }) => sum + unpriced, 0);
    return { cost: figure(nano, unpriced), exact: exactUsd(isUnknown(nano, unpriced) ? null : String(nano)), unpriced, requests: all.reduce((sum, { requests }) => sum + requests, 0) };
  };
  const first = `${today.slice(0, 8)}01`;
  const [now_, week, month] = [since(today), since(plus(today, -6)), since(first)];
  const end = monthEnd(days, today);
  // Of the days that the forecast is made of.
  const unpriced = since(first < plus(today, -LOOKED_BACK) ? first : plus(today, -LOOKED_BACK)).unpriced;
  const isForeseen = end && !isUnknown(end.usd, unpriced);
  return html`
    <${Figure} title="Today" answer=${answer} value=${now_.cost} exact=${now_.exact}>
      <p class="note">${rate === null ? " " : isUnknown(rate.usd, rate.unpriced) ? "spend an hour unknown" : html`<span title=${["over the last hour", unsure(rate.unpriced)].filter(Boolean).join(", ")}><b>${usd(rate.usd)}/h${rate.unpriced > 0 && " +?"}</b> now</span>`}</p>
      <p class="note">${now_.requests > 0 ? `${whole(now_.requests)} requests` : heardAt ? `nothing heard since ${moment(heardAt, zone.value, now.value)}` : "nothing heard yet"}</p>
    <//>
    <${Figure} title="7 days" answer=${answer} value=${week.cost} exact=${week.exact}>
      <p class="note">${whole(week.requests)} requests</p>
    <//>
    <${Figure} title="Month to date" answer=${answer} value=${month.cost} exact=${month.exact}>
      ${isForeseen ? html`<p class="note" title=${`spent so far, and the mean of the last ${end.days} full days for each to come; four of five months end within the band${unpriced > 0 ? `; ${unsure(unpriced)}` : ""}`}>
        heading for <b>${cost(end.usd, unpriced)}</b> ± ${usd(end.band)}</p>` : html`<p class="note">${end ? "no forecast of unknown prices" : "a forecast needs three full days"}</p>`}
    <//>`;
}
