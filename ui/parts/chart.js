// Sums over time as stacked bars, with the period before as a dotted outline. Drag over it to look closer; its table has the same figures.
import { html, useEffect, useRef, useState } from "../lib.js";
import uPlot from "../vendor/uplot.js";
import { now } from "../state.js";
import { STEPS } from "../slots.js";
import { isUnknown, unsure } from "../format.js";
import { color, onColors } from "../theme_colors.js";
import { copyable } from "./copy.js";

/** `unpriced` counts, by bar, requests that are not in the values. @typedef {{ name: string, label: string, color: string, values: (number | null)[], unpriced: number[] }} Series */
/** @typedef {import("../slots.js").Slot} Slot */

const HEIGHT = 240;
const PHONE_HEIGHT = 160;
/** Below this width of a plot it is a phone's. */
const PHONE_WIDTH = 560;
/** Of a bar: its share of the room, and its most pixels. */
const [SHARE, MOST_WIDE] = [0.82, 72];
const LABELS_APART = 16;
const FONT_SIZE = 12;

/** Bars drawn from the top of the stack down, each over the one before. @param {Series[]} series */
function stacked(series) {
  const sums = series[0]?.values.map(() => 0) ?? [];
  return series.map(({ values }) => values.map((value, slot) => (sums[slot] += value ?? 0)));
}

/** @param {(number | null)[]} values */
function sum(values) {
  return values.reduce((/** @type {number} */ sum, value) => sum + (value ?? 0), 0);
}

/** Hatching of the bar that is not over yet. @param {uPlot} plot @param {Slot[]} slots @param {number[]} tops */
function hatch({ ctx, bbox, valToPos }, slots, tops) {
  const place = slots.findIndex(({ start, end }) => start <= now.value && now.value < end);
  if (place < 0 || !tops[place]) return;
  const room = bbox.width / slots.length;
  const wide = Math.min(room * SHARE, MOST_WIDE * devicePixelRatio);
  const left = bbox.left + (place + 0.5) * room - wide / 2;
  const top = valToPos(tops[place], "y", true);
  const high = bbox.top + bbox.height - top;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, wide, high);
  ctx.clip();
  ctx.beginPath();
  ctx.strokeStyle = color("--surface");
  ctx.lineWidth = 1.5 * devicePixelRatio;
  for (let x = left - high; x < left + wide; x += 5 * devicePixelRatio) {
    ctx.moveTo(x, top + high);
    ctx.lineTo(x + high, top);
  }
  ctx.stroke();
  ctx.restore();
}

/** The outline of the bars of the period before. @param {uPlot} plot @param {number} count of bars @param {number[]} values */
function outline({ ctx, bbox, valToPos }, count, values) {
  const room = bbox.width / count;
  ctx.save();
  ctx.beginPath();
  ctx.strokeStyle = color("--muted");
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  let isOpen = false;
  values.slice(0, count).forEach((value, place) => {
    const [left, right, y] = [bbox.left + place * room, bbox.left + (place + 1) * room, valToPos(value, "y", true)];
    if (value > 0 || isOpen) {
      if (!isOpen) ctx.moveTo(left, valToPos(0, "y", true));
      ctx.lineTo(left, y);
      if (value > 0) ctx.lineTo(right, y);
    }
    isOpen = value > 0;
  });
  ctx.stroke();
  ctx.restore();
}

/** Bars that a label fits below. @param {uPlot} plot @param {Slot[]} slots @param {readonly number[]} steps */
function labelled({ ctx, bbox }, slots, steps) {
  ctx.font = `${FONT_SIZE * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
  const wide = Math.max(0, ...slots.map(({ tick }) => ctx.measureText(tick).width)) + LABELS_APART * devicePixelRatio;
  const least = wide / (bbox.width / Math.max(1, slots.length));
  const last = steps[steps.length - 1];
  const step = steps.find((step) => step >= least) ?? last * Math.ceil(least / last);
  return slots.flatMap(({ unit }, place) => (unit % step === 0 ? [place] : []));
}

/**
 * @typedef {object} Properties
 * @property {string} title
 * @property {import("../slots.js").Grain} grain
 * @property {Slot[]} slots @property {Series[]} series
 * @property {number[] | null} [before] by bar
 * @property {number[] | null} [beforeUnpriced] by bar
 * @property {(value: number, unpriced?: number) => string} format
 * @property {(first: Slot, last: Slot) => void} [onRange]
 * @property {() => void} [onOut]
 * @property {(name: string) => void} [onPick] of a series
 */

/** @param {Properties} properties */
export function Bars(properties) {
  const { title, slots, series, before = null, beforeUnpriced = null, format, onOut, onPick } = properties;
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const [isTable, setTable] = useState(false);
  const tops = stacked(series);
  const data = [slots.map((_, place) => place), ...tops.toReversed()];
  const latest = useRef({ ...properties, tops });
  latest.current = { ...properties, tops };

  useEffect(() => {
    if (!box.current || isTable) return undefined;
    const element = box.current;
    const size = () => ({ width: element.clientWidth, height: element.clientWidth < PHONE_WIDTH ? PHONE_HEIGHT : HEIGHT });
    const axis = { stroke: () => color("--muted"), font: `${FONT_SIZE}px ${getComputedStyle(document.body).fontFamily}`, ticks: { show: false } };
    const bars = uPlot.paths.bars({ size: [SHARE, MOST_WIDE], radius: 0.06 });
    const of = (/** @type {number} */ drawn) => latest.current.series[series.length - drawn];
    const made = new uPlot({
      ...size(),
      padding: [8, 24, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false, range: () => [-0.5, latest.current.slots.length - 0.5] },
        y: { range: (_, __, most) => [0, Math.max(most ?? 0, ...(latest.current.before ?? [])) * 1.05 || 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 28, gap: 8, splits: (plot) => labelled(plot, latest.current.slots, STEPS[latest.current.grain]), values: (_, places) => places.map((place) => latest.current.slots[place]?.tick ?? "") },
        { ...axis, grid: { stroke: () => color("--line"), width: 1 }, size: 64, values: (_, values) => values.map((value) => latest.current.format(value)) },
      ],
      cursor: { points: { show: false }, y: false, drag: { x: true, y: false, setScale: false } },
      series: [{}, ...series.map((_, place) => ({ paths: bars, points: { show: false }, width: 0, fill: () => color(of(place + 1)?.color ?? "--muted") }))],
      hooks: {
        draw: [(plot) => {
          const { slots, tops, before } = latest.current;
          hatch(plot, slots, tops.at(-1) ?? []);
          if (before) outline(plot, slots.length, before);
        }],
        setCursor: [(plot) => setAt(plot.cursor.idx ?? null)],
        setSelect: [(plot) => {
          const { slots, onRange } = latest.current;
          const [from, until] = [plot.select.left, plot.select.left + plot.select.width].map((left) => Math.max(0, Math.min(slots.length - 1, Math.round(plot.posToVal(left, "x")))));
          if (plot.select.width > 4) onRange?.(slots[from], slots[until]);
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        }],
      },
    }, data, element);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize(size()));
    watch.observe(element);
    const forget = onColors(() => made.redraw(true));
    return () => {
      forget();
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [series.length, isTable]);
  useEffect(() => plot.current?.setData(data), [JSON.stringify([data, before])]);

  const shown = at !== null && at < slots.length ? at : null;
  const of = (/** @type {(number | null)[]} */ values) => (shown === null ? sum(values) : values[shown]) ?? 0;
  const value = (/** @type {(number | null)[]} */ values, /** @type {number[]} */ unpriced) => format(of(values), of(unpriced));
  const total = tops.at(-1) ?? slots.map(() => 0);
  const unpriced = slots.map((_, place) => series.reduce((sum, { unpriced }) => sum + unpriced[place], 0));
  const past = before && { values: before.slice(0, slots.length), unpriced: beforeUnpriced?.slice(0, slots.length) ?? slots.map(() => 0) };
  const when = shown === null ? "Sum" : slots[shown].label;
  /** @type {[label: string, color: string | null, value: string][]} */
  const legend = [...series.map((one) => /** @type {[string, string, string]} */ ([one.label, one.color, value(one.values, one.unpriced)])), ...(past ? [/** @type {[string, null, string]} */ (["period before", null, value(past.values, past.unpriced)])] : [])];
  const columns = [...series, ...(past ? [{ name: "before", label: "period before", ...past }] : [])];
  const written = (/** @type {number | null | undefined} */ value, /** @type {number | undefined} */ unpriced) => (isUnknown(value, unpriced ?? 0) ? "" : String(value));
  const rows = () => [["since", "until", "total", ...columns.map(({ label }) => label)], ...slots.map((slot, place) => [slot.since, slot.until, written(total[place], unpriced[place]), ...columns.map(({ values, unpriced }) => written(values[place], unpriced[place]))])];
  /** Arrows move among the bars, Enter looks closer at one. @param {KeyboardEvent} event */
  const onKeyDown = (event) => {
    const last = slots.length - 1;
    const latest = Math.max(0, slots.findLastIndex(({ start }) => start <= now.value));
    const next = { ArrowRight: shown === null ? latest : Math.min(last, shown + 1), ArrowLeft: shown === null ? latest : Math.max(0, shown - 1), Home: 0, End: last }[event.key];
    if (next !== undefined && plot.current) plot.current.setCursor({ left: plot.current.valToPos(next, "x"), top: 1 });
    else if (event.key === "Enter" && shown !== null) properties.onRange?.(slots[shown], slots[shown]);
    else return;
    event.preventDefault();
  };
  return html`
    <figure class="chart" aria-label=${title}>
      <figcaption>
        <p class="when"><span>${when}</span> <b title=${unsure(of(unpriced))}>${value(total, unpriced)}</b></p>
        <span class="tools"><button type="button" aria-pressed=${isTable} onClick=${() => setTable(!isTable)}>Table</button>${copyable(title, rows, isTable ? undefined : () => ({ canvas: plot.current?.ctx.canvas, legend }))}</span>
        <ul class="legend">${series.map((one, place) => html`<li key=${one.name}>
          <button type="button" onClick=${() => onPick?.(one.name)} disabled=${!onPick || one.name === "\0"}><i style=${{ background: `var(${one.color})` }}></i>${one.label} <b title=${unsure(of(one.unpriced))}>${legend[place][2]}</b></button>
        </li>`)}${before && html`<li><i class="dotted"></i>period before <b title=${unsure(of(past?.unpriced ?? []))}>${legend[series.length][2]}</b></li>`}</ul>
      </figcaption>
      ${isTable ? html`<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">Time</th><th scope="col" class="number">Total</th>${columns.map(({ name, label }) => html`<th key=${name} scope="col" class="number">${label}</th>`)}</tr></thead>
        <tbody>${slots.map((slot, place) => html`<tr key=${slot.start}><th scope="row">${slot.label}</th><td class="number" title=${unsure(unpriced[place])}>${format(total[place], unpriced[place])}</td>${columns.map(({ name, values, unpriced }) => html`<td key=${name} class="number" title=${unsure(unpriced[place])}>${format(values[place] ?? 0, unpriced[place])}</td>`)}</tr>`)}</tbody></table></div>`
    : html`<div class="plot" ref=${box} tabindex="0" role="slider" aria-label=${`${title}: arrows go from bar to bar`} aria-valuemin="0" aria-valuemax=${Math.max(0, slots.length - 1)} aria-valuenow=${shown ?? slots.length - 1}
        aria-valuetext=${`${when}: ${value(total, unpriced)}; ${legend.map(([label, , text]) => `${label} ${text}`).join(", ")}`} onKeyDown=${onKeyDown} onBlur=${() => plot.current?.setCursor({ left: -10, top: -10 })} onDblClick=${onOut}>
        ${series.length === 0 && html`<p class="nothing">Nothing in this time.</p>`}
        ${shown !== null && html`<div class=${shown < slots.length / 2 ? "tip right" : "tip"} aria-hidden="true"><b>${when}</b>${legend.filter((_, place) => place === series.length || series[place].values[shown] || series[place].unpriced[shown]).map(([label, swatch, text]) => html`<span key=${label}><i style=${{ background: `var(${swatch ?? "--line"})` }}></i>${label} <b>${text}</b></span>`)}</div>`}</div>`}
    </figure>`;
}
