// What one session cost, and what of it: its shape in time, its context, its turns, where the money went, and what failed.
import { html, useEffect, useMemo, useSignal } from "../lib.js";
import { isLive, lostAt, onEvent, useAnswer } from "../api.js";
import { UNKNOWN, duration, exactUsd, last, moment, percent, tokens, usd, whole } from "../format.js";
import { address, now, zone } from "../state.js";
import { askedFor, inOrder, nanoOf, sent, spent } from "../session_shape.js";
import { ContextChart } from "../parts/context_chart.js";
import { Faults, faultsOf } from "../parts/faults.js";
import { Figure, Glance } from "../parts/figure.js";
import { Flame } from "../parts/flame.js";
import { witnessName } from "../parts/names.js";
import { runs } from "../parts/session_columns.js";
import { shown } from "../parts/states.js";
import { Turns } from "../parts/turns.js";
import { Waterfall } from "../parts/waterfall.js";

/** A session of ten thousand requests is not read again at each of them. */
const SETTLE_MS = 1500;

/** Counts news of one session, and that news may have been missed. @param {string} id it may be cut short */
function useNews(id) {
  const news = useSignal(0);
  useEffect(() => {
    let waiting = 0;
    const stop = onEvent(({ session }) => {
      if (session?.startsWith(id)) waiting ||= setTimeout(() => ((waiting = 0), (news.value += 1)), SETTLE_MS);
    });
    // What is hidden asks nothing.
    const seen = () => document.hidden || (news.value += 1);
    document.addEventListener("visibilitychange", seen);
    return () => {
      stop();
      clearTimeout(waiting);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [id]);
  useEffect(() => {
    // At first nothing was missed.
    if (isLive.value && lostAt.peek() !== null) news.value += 1;
  }, [isLive.value]);
  return news;
}

/** What was told of the session but by no request: a client's own sum. @param {any} data */
function reported({ reported_cost_usd, reported_tokens }) {
  if (reported_cost_usd === null && !reported_tokens) return null;
  return html`<p class="note">its client says ${reported_cost_usd === null ? "" : usd(reported_cost_usd)}${reported_cost_usd !== null && reported_tokens && ", "}${
    reported_tokens && `${tokens(reported_tokens.input_tokens)} in, ${tokens(reported_tokens.output_tokens)} out`}</p>`;
}

/** Who told of it, and whether they agree. @param {{ id: string, told: string[], news: any }} properties */
function Witnesses({ id, told, news }) {
  const answer = useAnswer("reconcile", { session: id }, news);
  const row = answer.data?.rows?.[0];
  const all = row ? row.witnesses.filter((/** @type {any} */ one) => one.told_of_session || one.requests > 0 || one.tool_calls > 0) : told.map((witness) => ({ witness }));
  const asked = all.filter((/** @type {any} */ { requests }) => requests > 0).length;
  const differs = row && (row.differing_requests > 0 || row.difference_usd !== 0 || row.unknown_differences > 0);
  const verdict = !row ? (answer.error ?? "comparing") : row.requests === 0 ? "nothing to compare" : differs ? `${whole(row.differing_requests)} of ${whole(row.requests)} requests told differently, by ${row.unknown_differences > 0 ? UNKNOWN : usd(row.difference_usd)}`
    : asked > 1 ? "they agree" : "one alone: nothing confirms it";
  const exact = all.map((/** @type {any} */ { witness, requests, tool_calls }) => `${witnessName(witness)}: ${requests === undefined ? "" : `${whole(requests)} requests, ${whole(tool_calls)} tool calls`}`).join("\n");
  return html`<${Figure} title="Told by" value=${whole(all.length)} exact=${exact}>
    <p class="note">${all.map((/** @type {any} */ { witness }) => witnessName(witness)).join(", ") || "nobody"}</p>
    <p class=${differs || answer.error ? "note warn" : "note"}>${verdict} <a href=${address("reconcile")}>details</a></p><//>`;
}

/** @param {{ answer: import("../api.js").Answer, listed: any, id: string, news: any, model: any }} properties */
function Head({ answer, listed, id, news, model }) {
  const { data } = answer;
  const { requests, nano, unpriced, faults } = model;
  const all = requests.reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + sent(row), 0);
  const read = requests.reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + row.cache_read_tokens, 0);
  const models = [...new Set(requests.map((/** @type {any} */ request) => request.model))];
  const told = [...new Set([...requests, ...data.tool_calls].flatMap((fact) => fact.witnesses))];
  const took = data.started_at && data.last_at ? Date.parse(data.last_at) - Date.parse(data.started_at) : null;
  const estimated = requests.filter((/** @type {any} */ request) => request.estimated).length;
  const sums = requests.filter((/** @type {any} */ request) => request.is_sum).length;
  const single = requests.length - sums;
  const facts = [["Folder", data.cwd], ["Branch", listed?.branch], ["Project", listed?.project], ["User", listed?.user], ["Team", listed?.team], ["Host", data.host], ["Billing", data.billing]].filter(([, value]) => value);
  return html`<div class="figures pair">
    <${Figure} size="first" title=${html`${last(data.cwd) || data.agent} <span class="muted">${data.agent} ${data.version}</span> ${runs(data) && html`<span class="good"><span class="pulse" aria-hidden="true"></span> live</span>`}`}
      value=${requests.length === unpriced ? UNKNOWN : usd(Number(nano) / 1e9)} exact=${requests.length === unpriced ? "unknown price" : exactUsd(String(nano))}>
      <p class="note">${requests.length === 0 ? "no witness told of requests" : unpriced === 0 ? (single === 0 ? "of sums; no request by itself" : "every request priced") : html`<span class="warn">${whole(unpriced)} of ${whole(requests.length)} requests of unknown price</span>`}${
        estimated > 0 && `, ${whole(estimated)} estimated`}${sums > 0 && single > 0 && `, ${whole(sums)} told only as sums`}${data.billing === "plan" && ", list-price value on a plan, no bill"}</p>
      ${reported(data)}<p class="note">${models.join(", ")}</p>
    <//>
    <${Witnesses} id=${id} told=${told} news=${news} />
  </div>
  <dl class="card glances">
    <${Glance} label="Turns" answer=${answer} value=${whole(data.turns.length)} />
    <${Glance} label="Requests" answer=${answer} value=${single === 0 ? UNKNOWN : whole(single)} note=${sums > 0 && "some or all told only as sums"} />
    <${Glance} label="Duration" answer=${answer} value=${took === null ? UNKNOWN : duration(took)} exact=${`${data.started_at} to ${data.last_at}`} note=${data.last_at ? `last ${moment(data.last_at, zone.value, now.value)}` : "no time was told"} />
    <${Glance} label="From the cache" answer=${answer} value=${all > 0 ? percent(read / all) : UNKNOWN} note=${all > 0 && `of ${tokens(all)} sent`} />
    <${Glance} label="Tool calls" answer=${answer} value=${whole(data.tool_calls.length)} note=${faults === 0 ? "none failed" : html`<a class="bad" href="#errors" data-away>${whole(faults)} failed</a>`} />
  </dl>
  ${facts.length > 0 && html`<dl class="facts">${facts.map(([term, value]) => html`<div key=${term}><dt>${term}</dt><dd title=${value}>${value}</dd></div>`)}</dl>`}`;
}

/** What is made of the facts, once for each answer. @param {import("../session_shape.js").Facts} data */
function modelOf(data) {
  const [requests, calls, turns] = [inOrder(data.requests), inOrder(data.tool_calls), inOrder(data.turns)];
  const names = new Map(turns.map(({ turn, started_at }, at) => [turn, `turn ${at + 1}${started_at ? "" : ", no time told"}`]));
  const asked = askedFor(requests, calls);
  const by = new Map(requests.map((request) => [request.request, request]));
  const askers = new Map([...asked].flatMap(([request, calls]) => calls.map(({ tool_call }) => /** @type {[string, any]} */ ([tool_call, by.get(request)]))));
  return {
    requests, calls, turns, names, asked, askers, nano: requests.reduce((sum, { cost_nano_usd }) => sum + nanoOf(cost_nano_usd), 0n), unpriced: requests.filter(({ cost_nano_usd }) => cost_nano_usd === null).length,
    faults: calls.filter(({ outcome }) => outcome && outcome !== "ok").length, kinds: faultsOf(calls, data.incidents), spent: spent(requests, asked, names),
  };
}

/** @param {{ answer: import("../api.js").Answer, id: string, news: any }} properties */
function Whole({ answer, id, news }) {
  const { data } = answer;
  const model = useMemo(() => modelOf(data), [data]);
  const { requests, calls, turns, names, asked, askers, kinds } = model;
  const listed = useAnswer("sessions", { search: data.session, limit: "1", timezone: zone.value }, news).data?.rows?.find((/** @type {any} */ row) => row.session === data.session);
  return html`<${Head} answer=${answer} listed=${listed} id=${data.session} news=${news} model=${model} />
    <section class="card"><h2>Timeline</h2><${Waterfall} title="Timeline" turns=${turns} requests=${requests} calls=${calls} asked=${asked} askers=${askers} /></section>
    <section class="card"><h2>Context</h2><${ContextChart} requests=${requests} incidents=${data.incidents} /></section>
    <section class="card"><h2>Where the cost went</h2><${Flame} key=${id} spent=${model.spent} unasked=${calls.length - askers.size} /></section>
    <section class="card"><h2>Turns</h2><${Turns} turns=${turns} requests=${requests} calls=${calls} names=${names} asked=${asked} askers=${askers} /></section>
    <section class="card" id="errors"><h2>Errors and incidents</h2><${Faults} kinds=${kinds} /></section>`;
}

/** @param {{ id: string }} properties */
export function Session({ id }) {
  const news = useNews(id);
  const answer = useAnswer(`sessions/${encodeURIComponent(id)}`, {}, news);
  return html`<p class="crumbs"><a href=${address("sessions")}>Sessions</a> / <code title=${id}>${id.slice(0, 8)}</code></p>
    ${shown(answer, "the session", () => html`<${Whole} key=${id} answer=${answer} id=${id} news=${news} />`, 12)}`;
}
