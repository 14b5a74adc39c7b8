// Every chart and table can be taken along: as CSV, and a chart as a picture.
import { html } from "../lib.js";
import { color } from "../theme_colors.js";

/** A field of CSV. What a spreadsheet would take for a formula is made text. @param {string} text */
function field(text) {
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** @param {string[][]} rows */
export function csv(rows) {
  return rows.map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

/** @param {string} name @param {Blob} blob */
function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** @param {string} title */
function fileName(title) {
  return `ducat-${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}`;
}

/** @typedef {{ canvas: HTMLCanvasElement | undefined, legend: [label: string, color: string | null, value: string][] }} Drawn */

/**
 * The chart with its title and legend, on the surface's colour: a picture with no ground is unreadable in a dark chat.
 * @param {string} title @param {HTMLCanvasElement} drawn @param {Drawn["legend"]} legend
 */
function picture(title, drawn, legend) {
  const copy = document.createElement("canvas");
  const context = copy.getContext("2d");
  if (!context) return null;
  const scale = devicePixelRatio;
  const [edge, line, family] = [16, 20, getComputedStyle(document.body).fontFamily];
  const [width, small] = [drawn.width / scale, `12px ${family}`];
  context.font = small;
  const placed = [];
  let [x, y] = [edge, edge + 2 * line];
  for (const [label, swatch, value] of legend) {
    const wide = 16 + context.measureText(`${label}  ${value}`).width + edge;
    if (x > edge && x + wide > width + edge) [x, y] = [edge, y + line];
    placed.push({ label, swatch, value, x, y });
    x += wide;
  }
  const top = y + line;
  [copy.width, copy.height] = [drawn.width + 2 * edge * scale, drawn.height + (top + edge) * scale];
  context.scale(scale, scale);
  context.fillStyle = color("--surface");
  context.fillRect(0, 0, copy.width, copy.height);
  context.fillStyle = color("--text");
  context.font = `600 15px ${family}`;
  context.fillText(title, edge, edge + 15);
  context.font = small;
  for (const { label, swatch, value, x, y } of placed) {
    context.fillStyle = color(swatch ?? "--muted");
    context.fillRect(x, swatch ? y - 9 : y - 5, 10, swatch ? 10 : 2);
    context.fillStyle = color("--muted");
    context.fillText(label, x + 16, y);
    context.fillStyle = color("--text");
    context.fillText(value, x + 16 + context.measureText(`${label} `).width, y);
  }
  context.drawImage(drawn, edge, top, width, drawn.height / scale);
  return copy;
}

/**
 * @param {string} title
 * @param {string[][] | (() => string[][])} rows
 * @param {() => Drawn} [drawn]
 */
export function copyable(title, rows, drawn) {
  const savePicture = () => {
    const { canvas, legend } = drawn?.() ?? { canvas: undefined, legend: [] };
    if (canvas) picture(title, canvas, legend)?.toBlob((blob) => blob && save(`${fileName(title)}.png`, blob), "image/png");
  };
  return html`<button type="button" title="Save as CSV" onClick=${() => save(`${fileName(title)}.csv`, new Blob([csv(typeof rows === "function" ? rows() : rows)], { type: "text/csv" }))}>CSV</button>${
    drawn && html`<button type="button" title="Save as a picture" onClick=${savePicture}>PNG</button>`}`;
}
