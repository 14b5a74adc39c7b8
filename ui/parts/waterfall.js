// Turns, requests and tool calls as bars in time, sub-agents below; only what is visible is drawn. Wheel with Ctrl or pinch zooms, dragging selects a time, the wheel sideways moves.
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { clock, duration, moment, whole } from "../format.js";
import { now, zone } from "../state.js";
import { lastAtMost } from "../session_shape.js";
import { Folded, rows as laidOut } from "../timeline.js";
import { Canvas, fitted } from "./canvas.js";
import { copyable } from "./copy.js";
import { Details, title as titleOf } from "./details.js";

/** @typedef {import("../timeline.js").Bar} Bar */

const [ROW, BAR, TOP, LABELS, PHONE_LABELS] = [20, 14, 24, 128, 72];
const MOST_HIGH = 440;
/** The least width of a bar, and how far beside it a click may be. */
const [LEAST, NEAR] = [3, 5];
/** The least time that is shown. */
const LEAST_MS = 50;
const COLORS = { turn: "--accent", request: "--series-1", call: "--series-2" };
/** Rows of the table behind it. */
const MOST_IN_TABLE = 500;

/** A bar's name, which it keeps when its facts are told anew. @param {Bar} bar */
function keyOf({ kind, fact }) {
  return `${kind} ${kind === "turn" ? fact.turn : kind === "request" ? fact.request : fact.tool_call}`;
}

/** Round lengths of time for the axis. */
const TICKS = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000];

/**
 * @param {{ title: string, turns: any[], requests: any[], calls: any[], asked: Map<string, any[]>, askers: Map<string, any> }} properties
 * `asked` has the calls by request, `askers` the request by call
 */
export function Waterfall({ title, turns, requests, calls, asked, askers }) {
  const rows = useMemo(() => laidOut({ turns, requests, tool_calls: calls }), [turns, requests, calls]);
  const folded = useMemo(() => new Folded(rows), [rows]);
  /** Bars as they lie in folded time: what a frame would otherwise ask for ten thousand times. */
  const placed = useMemo(() => rows.map(({ bars }) => ({ from: Float64Array.from(bars, ({ from }) => folded.fold(from)), to: Float64Array.from(bars, ({ to }) => folded.fold(to)) })), [folded]);
  const inTime = useMemo(() => rows.flatMap(({ bars }, row) => bars.map((bar) => ({ bar, row }))).sort((one, other) => one.bar.from - other.bar.from), [rows]);
  const [view, setView] = useState(/** @type {[number, number] | null} */ (null));
  const [chosenKey, setChosenKey] = useState(/** @type {string | null} */ (null));
  const chosen = useMemo(() => (chosenKey === null ? null : inTime.find(({ bar }) => keyOf(bar) === chosenKey)?.bar ?? null), [inTime, chosenKey]);
  const setChosen = (/** @type {Bar | null} */ bar) => setChosenKey(bar && keyOf(bar));
  const [drag, setDrag] = useState(/** @type {[number, number] | null} */ (null));
  const [hint, setHint] = useState("");
  const [isTable, setTable] = useState(false);
  const [scrolled, setScrolled] = useState(0);
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));

  const high = TOP + rows.length * ROW + 4;
  const shownHigh = Math.min(high, MOST_HIGH);
  // In real time, so that what comes at the end moves nothing that is looked at.
  const [from, to] = view ? [folded.fold(view[0]), folded.fold(view[1])] : [0, folded.length];
  /** As it was last drawn: to ask the page for it makes it lay itself out. */
  const width = useRef(0);
  const labels = () => (width.current < 560 ? PHONE_LABELS : LABELS);
  const wide = () => Math.max(1, width.current - labels() - 8);
  const xOf = (/** @type {number} */ time) => labels() + ((time - from) * wide()) / (to - from);
  const timeOf = (/** @type {number} */ x) => from + ((x - labels()) * (to - from)) / wide();
  const look = (/** @type {number} */ first, /** @type {number} */ last) => {
    const length = Math.max(LEAST_MS, Math.min(folded.length, last - first));
    const start = Math.max(0, Math.min(folded.length - length, first));
    setView(length >= folded.length ? null : [folded.unfold(start), folded.unfold(start + length)]);
  };
  const zoom = (/** @type {number} */ factor, /** @type {number} */ around = (from + to) / 2) => look(around - (around - from) * factor, around + (to - around) * factor);
  const pan = (/** @type {number} */ share) => look(from + (to - from) * share, to + (to - from) * share);

  /** @param {import("./canvas.js").Surface} surface */
  const draw = ({ context, width: all, height, token }) => {
    width.current = all;
    const left = labels();
    const scale = wide() / (to - from);
    context.save();
    context.beginPath();
    context.rect(left, 0, all - left, height);
    context.clip();
    for (const { length, from: start, to: end } of folded.folds) {
      const [x, until] = [xOf(start), xOf(end)];
      if (until < left || x > all) continue;
      context.fillStyle = token("--hover");
      context.fillRect(x, TOP, until - x, height);
      context.strokeStyle = token("--muted");
      context.setLineDash([2, 4]);
      context.strokeRect(x + 0.5, TOP, Math.max(0, until - x - 1), height);
      context.setLineDash([]);
      const text = duration(length);
      if (context.measureText(text).width + 8 > until - x) continue;
      context.fillStyle = token("--muted");
      context.textAlign = "center";
      context.fillText(text, (x + until) / 2, TOP + 10);
    }
    context.textAlign = "left";
    context.fillStyle = token("--muted");
    const step = TICKS.find((step) => (step * wide()) / (to - from) >= 88) ?? 86_400_000;
    const isOfDays = folded.last - folded.first > 86_400_000 && step >= 1_800_000;
    let free = left;
    for (let time = Math.ceil(folded.unfold(from) / step) * step, count = 0; count < 40; count += 1) {
      const place = folded.fold(time);
      if (place > to || time > folded.last + step) break;
      const x = xOf(place);
      const text = step < 1000 ? `${clock(time, zone.value, true)}.${String(time % 1000).padStart(3, "0")}` : isOfDays ? moment(time, zone.value, now.value) : clock(time, zone.value, step < 60_000);
      if (x >= free) {
        context.fillStyle = token("--line");
        context.fillRect(x, 4, 1, height);
        context.fillStyle = token("--muted");
        const end = x + 4 + context.measureText(text).width;
        if (end <= all) context.fillText(text, x + 4, 10);
        free = end + 12;
      }
      // Past a pause at once: its ticks would lie over each other.
      const pause = folded.folds.find(({ at, length }) => time + step > at && time + step < at + length);
      time = pause ? Math.ceil((pause.at + pause.length) / step) * step : time + step;
    }
    rows.forEach((row, at) => {
      const y = TOP + at * ROW - scrolled;
      if (y + ROW < TOP || y > height) return;
      const { from: starts, to: ends } = placed[at];
      context.save();
      context.beginPath();
      context.rect(left, TOP, all - left, height);
      context.clip();
      const [paint, bad] = [token(COLORS[row.kind]), token("--bad")];
      let [drawn, failed] = [-1, -1];
      const first = Math.max(0, lastAtMost(from, starts.length, (place) => ends[place]));
      for (let place = first; place < starts.length && starts[place] <= to; place += 1) {
        const x = left + (starts[place] - from) * scale;
        const until = Math.max(x + LEAST, left + (ends[place] - from) * scale);
        const bar = row.bars[place];
        // Within the pixel that is painted already; failures stand out.
        if (until <= drawn + 1 && !(bar.isBad && until > failed + 1) && bar.fact !== chosen?.fact) continue;
        context.fillStyle = bar.isBad ? bad : paint;
        context.globalAlpha = row.kind === "turn" ? 0.45 : 1;
        context.fillRect(x, y + (ROW - BAR) / 2, until - x - (until - x > 4 ? 1 : 0), BAR);
        context.globalAlpha = 1;
        drawn = Math.max(drawn, until);
        if (bar.isBad) failed = until;
        if (bar.fact === chosen?.fact) {
          context.strokeStyle = token("--text");
          context.lineWidth = 2;
          context.strokeRect(x - 1, y + 2, until - x + 2, ROW - 4);
          context.lineWidth = 1;
        }
        if (until - x > 48) {
          context.fillStyle = token(row.kind === "turn" ? "--text" : "--surface");
          const begin = Math.max(x, left);
          const text = row.kind === "turn" ? duration(bar.to - bar.from) : row.kind === "request" ? bar.fact.model : bar.fact.name ?? "tool";
          context.fillText(fitted(context, text, until - begin - 10), begin + 5, y + ROW / 2 + 1);
        }
      }
      context.restore();
    });
    if (drag) {
      context.globalAlpha = 0.2;
      context.fillStyle = token("--accent");
      context.fillRect(Math.min(...drag), 0, Math.abs(drag[1] - drag[0]), height);
      context.globalAlpha = 1;
    }
    context.restore();
    context.fillStyle = token("--muted");
    rows.forEach(({ label, depth }, at) => {
      const y = TOP + at * ROW - scrolled;
      const indent = left > PHONE_LABELS ? depth * 10 : 0;
      if (label && y >= TOP - ROW / 2 && y < height) context.fillText(fitted(context, label, left - indent - 6), indent, y + ROW / 2);
    });
  };

  /** The bar under a point, or the nearest beside it. @param {number} x @param {number} y @returns {Bar | null} */
  const found = (x, y) => {
    const at = Math.floor((y - TOP + scrolled) / ROW);
    if (!rows[at] || y < TOP) return null;
    const time = timeOf(x);
    const { from: starts, to: ends } = placed[at];
    const last = lastAtMost(time, starts.length, (place) => starts[place]);
    const distance = (/** @type {number} */ place) => (starts[place] === undefined ? Infinity : Math.max(0, xOf(starts[place]) - x, x - Math.max(xOf(starts[place]) + LEAST, xOf(ends[place]))));
    const nearest = [last, last + 1].reduce((best, place) => (distance(place) < distance(best) ? place : best), last);
    return distance(nearest) <= NEAR ? rows[at].bars[nearest] : null;
  };
  /** Chooses a bar and brings it into sight. @param {number} at in the order of time */
  const choose = (at) => {
    const one = inTime[Math.max(0, Math.min(inTime.length - 1, at))];
    if (!one) return;
    setChosen(one.bar);
    const place = folded.fold(one.bar.from);
    if (place < from || place > to) look(place - (to - from) / 2, place + (to - from) / 2);
    const y = one.row * ROW;
    if (box.current && (y < scrolled || y + ROW + TOP > scrolled + shownHigh)) box.current.scrollTop = Math.max(0, y - shownHigh / 2);
  };

  const handle = useRef(/** @type {(event: WheelEvent) => void} */ (() => {}));
  handle.current = (event) => {
    const isZoom = event.ctrlKey || event.metaKey;
    if (!isZoom && Math.abs(event.deltaX) <= Math.abs(event.deltaY) && !event.shiftKey) return;
    event.preventDefault();
    const x = event.clientX - (canvas.current?.getBoundingClientRect().left ?? 0);
    if (isZoom) zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 120), timeOf(x));
    else pan((event.deltaX || event.deltaY) / wide());
  };
  useEffect(() => {
    const element = canvas.current;
    const wheel = (/** @type {WheelEvent} */ event) => handle.current(event);
    // Not passive: a pinch would zoom the whole page.
    element?.addEventListener("wheel", wheel, { passive: false });
    return () => element?.removeEventListener("wheel", wheel);
  }, [isTable, inTime.length === 0]);

  const point = (/** @type {PointerEvent} */ event) => {
    const rectangle = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
    return [event.clientX - rectangle.left, event.clientY - rectangle.top];
  };
  const down = (/** @type {PointerEvent} */ event) => {
    if (event.button !== 0) return;
    const [x] = point(event);
    if (x < labels()) return;
    if (event.pointerType === "mouse") /** @type {Element} */ (event.currentTarget).setPointerCapture(event.pointerId);
    setDrag([x, x]);
  };
  const move = (/** @type {PointerEvent} */ event) => {
    const [x, y] = point(event);
    if (drag) setDrag([drag[0], Math.max(labels(), x)]);
    else {
      const bar = found(x, y);
      setHint(bar ? titleOf(bar) : "");
    }
  };
  const up = (/** @type {PointerEvent} */ event) => {
    if (!drag) return;
    const [x, y] = point(event);
    setDrag(null);
    if (Math.abs(x - drag[0]) > 4) {
      const [first, last] = [Math.min(x, drag[0]), Math.max(x, drag[0])].map(timeOf);
      look(first, last);
    } else setChosen(found(x, y));
  };
  const key = (/** @type {KeyboardEvent} */ event) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const at = inTime.findIndex(({ bar }) => bar.fact === chosen?.fact);
    /** @type {Record<string, () => void>} */
    const keys = { ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), ArrowDown: () => choose(at + 1), ArrowUp: () => choose(at < 0 ? inTime.length - 1 : at - 1), "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), 0: () => setView(null) };
    if (event.key === "Escape" && (view || chosen)) {
      setView(null);
      setChosen(null);
    } else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  if (inTime.length === 0) return html`<p class="empty">No witness told when anything happened: there is nothing to lay out in time.</p>`;
  const untimed = [...requests.filter(({ is_sum }) => !is_sum), ...calls].filter(({ started_at }) => !started_at).length;
  const visible = isTable ? inTime.filter(({ bar }) => folded.fold(bar.to) >= from && folded.fold(bar.from) <= to) : [];
  const cells = (/** @type {{ bar: Bar }} */ { bar: { kind, fact } }) => [kind === "call" ? "tool call" : kind, fact.started_at, kind === "turn" ? fact.turn : kind === "request" ? fact.model : fact.name ?? "", fact.target ?? "", fact.subagent ?? "", String(fact.duration_ms ?? ""), fact.outcome ?? "", fact.cost_nano_usd ?? ""];
  const head = ["kind", "started_at", "name", "target", "subagent", "duration_ms", "outcome", "cost_nano_usd"];
  // Made when it is saved: ten thousand rows at each frame would be felt.
  const table = () => [head, ...inTime.map(cells)];
  const drawn = () => ({ canvas: canvas.current ?? undefined, legend: /** @type {[string, string | null, string][]} */ ([["turns", "--accent", whole(turns.length)], ["requests", "--series-1", whole(requests.length)], ["tool calls", "--series-2", whole(calls.length)], ["failed", "--bad", ""]]) });
  const asker = chosen?.kind === "call" ? askers.get(chosen.fact.tool_call) : undefined;
  return html`<figure class="chart waterfall" aria-label=${title}>
    <figcaption><span class="when">${view ? `${clock(view[0], zone.value, true)} to ${clock(view[1], zone.value, true)}` : "All of it"} <span>${hint}</span></span>
      <span class="tools"><button type="button" aria-label="Zoom in" title="Zoom in: +" onClick=${() => zoom(0.6)}>+</button><button type="button" aria-label="Zoom out" title="Zoom out: -" onClick=${() => zoom(1 / 0.6)} disabled=${!view}>−</button>
        <button type="button" title="All of it: 0" onClick=${() => setView(null)} disabled=${!view}>All</button><button type="button" aria-pressed=${isTable} onClick=${() => setTable(!isTable)}>Table</button>${copyable(title, table, isTable ? undefined : drawn)}</span>
      <ul class="legend"><li><i class="turn"></i>turn</li><li><i class="request"></i>request</li><li><i class="call"></i>tool call</li><li><i class="failed"></i>failed</li>${folded.folds.length > 0 && html`<li><i class="pause"></i>pause of over 5 min, folded: ${whole(folded.folds.length)}, ${duration(folded.folds.reduce((sum, { length }) => sum + length, 0))} in all</li>`}</ul></figcaption>
    ${isTable ? html`<div class="scroll" tabindex="0" role="region" aria-label=${`${title}, as a table`}><table class="rows"><thead><tr>${head.slice(0, -1).map((name) => html`<th key=${name} scope="col">${name.replaceAll("_", " ")}</th>`)}</tr></thead>
        <tbody>${visible.slice(0, MOST_IN_TABLE).map((one, at) => html`<tr key=${at}>${cells(one).slice(0, -1).map((cell, place) => html`<td key=${place} title=${cell}>${place === 1 ? clock(cell, zone.value, true) : cell}</td>`)}</tr>`)}</tbody></table>
        ${visible.length > MOST_IN_TABLE && html`<p class="note">and ${whole(visible.length - MOST_IN_TABLE)} more: look closer, or take the CSV</p>`}</div>`
    : html`<div class="lanes" ref=${box} style=${{ maxHeight: `${shownHigh}px` }} onScroll=${() => setScrolled(box.current?.scrollTop ?? 0)}>
        <${Canvas} canvas=${canvas} draw=${draw} of=${[rows, view, chosen, drag, scrolled, shownHigh]} height=${shownHigh} tabindex="0" role="img" aria-label=${`${title}: ${whole(inTime.length)} bars. Arrows left and right move, plus and minus zoom, 0 shows all, arrows up and down go from bar to bar. The figures are behind Table.`}
          onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${() => setDrag(null)} onPointerLeave=${() => setHint("")} onDblClick=${() => setView(null)} onKeyDown=${key} />
        <div style=${{ height: `${high - shownHigh}px` }}></div></div>`}
    ${untimed > 0 && html`<p class="note">${whole(untimed)} without a time are not drawn.</p>`}
    <${Details} bar=${chosen} calls=${chosen?.kind === "request" ? asked.get(chosen.fact.request) ?? [] : []} cost=${asker && asker.cost_nano_usd !== null ? BigInt(asker.cost_nano_usd) : null} />
  </figure>`;
}
