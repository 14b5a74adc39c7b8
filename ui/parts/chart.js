// Sums over time as stacked bars, with the period before as a line above them. Drag over it to look closer; its table has the same figures.
import { html, useEffect, useRef, useState } from "../lib.js";
import uPlot from "../vendor/uplot.js";
import { copyable } from "./copy.js";

/**
 * @typedef {{ name: string, label: string, color: string, values: (number | null)[] }} Series
 * @typedef {{ label: string, from: string, until: string, isPartial: boolean }} Slot a bar's place in time
 */

const HEIGHT = 240;
const PHONE_HEIGHT = 160;

/** @param {string} name of a custom property, or a colour */
function color(name) {
  return name.startsWith("--") ? getComputedStyle(document.documentElement).getPropertyValue(name).trim() : name;
}

/** Bars drawn from the top of the stack down, each over the one before. @param {Series[]} series */
function stacked(series) {
  const sums = series[0]?.values.map(() => 0) ?? [];
  return series.map(({ values }) => values.map((value, slot) => (sums[slot] += value ?? 0)));
}

/** Hatching of what is not over yet. @param {uPlot} plot @param {Slot[]} slots */
function hatch(plot, slots) {
  const { ctx, bbox } = plot;
  const wide = bbox.width / Math.max(1, slots.length);
  slots.forEach((slot, place) => {
    if (!slot.isPartial) return;
    const left = bbox.left + place * wide;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, wide, bbox.height);
    ctx.clip();
    ctx.strokeStyle = color("--surface");
    ctx.globalAlpha = 0.55;
    ctx.lineWidth = devicePixelRatio;
    for (let x = left - bbox.height; x < left + wide; x += 6 * devicePixelRatio) {
      ctx.beginPath();
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
      ctx.stroke();
    }
    ctx.restore();
  });
}

/**
 * @param {{ title: string, slots: Slot[], series: Series[], before?: (number | null)[] | null, format: (value: number) => string,
 *   onRange?: (from: Slot, until: Slot) => void, onPick?: (name: string) => void }} properties
 */
export function Bars({ title, slots, series, before = null, format, onRange, onPick }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const [isTable, setTable] = useState(false);
  const shape = `${slots.length} ${series.map(({ name, color }) => name + color).join()} ${before !== null} ${document.documentElement.dataset.theme ?? ""} ${isTable}`;
  const tops = stacked(series);
  const data = [slots.map((_, place) => place), ...tops.toReversed(), ...(before ? [before] : [])];
  const latest = useRef({ slots, format, onRange });
  latest.current = { slots, format, onRange };

  useEffect(() => {
    if (!box.current || isTable) return undefined;
    const element = box.current;
    const size = () => ({ width: element.clientWidth, height: element.clientWidth < 560 ? PHONE_HEIGHT : HEIGHT });
    const muted = color("--muted");
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const bars = uPlot.paths.bars?.({ size: [0.82, 72], radius: 0.06 });
    const axis = { stroke: muted, font, ticks: { show: false } };
    const made = new uPlot({
      ...size(),
      padding: [8, 8, 0, 0],
      legend: { show: false },
      scales: { x: { time: false, range: (_, min, max) => [Math.min(-0.5, min - 0.5), max + 0.5] }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.05 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, space: 64, incrs: [1, 2, 3, 5, 7, 10, 14, 28, 50, 100], values: (_, places) => places.map((place) => latest.current.slots[place]?.label ?? "") },
        { ...axis, grid: { stroke: color("--line"), width: 1 }, size: 64, values: (_, values) => values.map((value) => latest.current.format(value)) },
      ],
      cursor: { points: { show: false }, y: false, drag: { x: Boolean(onRange), y: false, setScale: false } },
      select: { show: Boolean(onRange), left: 0, top: 0, width: 0, height: 0 },
      series: [
        {},
        ...series.toReversed().map((one) => ({ label: one.label, paths: bars, points: { show: false }, width: 0, fill: color(one.color) })),
        ...(before ? [{ label: "before", stroke: muted, dash: [4, 4], width: 1.5, points: { show: false } }] : []),
      ],
      hooks: {
        draw: [(plot) => hatch(plot, latest.current.slots)],
        setCursor: [(plot) => setAt(plot.cursor.idx ?? null)],
        setSelect: [(plot) => {
          const [from, until] = [plot.select.left, plot.select.left + plot.select.width].map((left) => Math.round(plot.posToVal(left, "x")));
          const { slots, onRange } = latest.current;
          if (plot.select.width > 4 && slots[from] && slots[Math.min(until, slots.length - 1)]) onRange?.(slots[from], slots[Math.min(until, slots.length - 1)]);
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        }],
      },
    }, /** @type {any} */ (data), element);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize(size()));
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(/** @type {any} */ (data)), [JSON.stringify(data)]);

  const shown = at !== null && at < slots.length ? at : null;
  const sum = (/** @type {Series} */ one) => (shown === null ? one.values.reduce((sum, value) => (sum ?? 0) + (value ?? 0), 0) : one.values[shown]) ?? 0;
  const rows = [["time", ...series.map(({ label }) => label)], ...slots.map((slot, place) => [slot.from, ...series.map(({ values }) => String(values[place] ?? ""))])];
  return html`
    <figure class="chart" aria-label=${title}>
      <figcaption>
        <span class="when">${shown === null ? "Sum" : slots[shown].label}</span>
        <ul class="legend">${series.map((one) => html`<li key=${one.name}>
          <button type="button" onClick=${() => onPick?.(one.name)} disabled=${!onPick}><i style=${{ background: `var(${one.color})` }}></i>${one.label} <b>${format(sum(one))}</b></button>
        </li>`)}${before && html`<li><i class="dotted"></i>period before ${shown !== null && html`<b>${format(before[shown] ?? 0)}</b>`}</li>`}</ul>
        <span class="tools"><button type="button" aria-pressed=${isTable} onClick=${() => setTable(!isTable)}>Table</button>${copyable(title, rows, () => plot.current?.ctx.canvas ?? null)}</span>
      </figcaption>
      ${isTable ? html`<div class="scroll"><table><thead><tr>${rows[0].map((head, place) => html`<th scope="col" class=${place ? "number" : ""}>${head}</th>`)}</tr></thead>
        <tbody>${slots.map((slot, place) => html`<tr key=${slot.from}><th scope="row">${slot.label}</th>${series.map((one) => html`<td class="number">${format(one.values[place] ?? 0)}</td>`)}</tr>`)}</tbody></table></div>`
    : html`<div class="plot" ref=${box} role="img" aria-label=${`${title}; the figures are behind Table`}></div>`}
    </figure>`;
}
