// Every chart and table can be taken along: as CSV, and a chart as a picture.
import { html } from "../lib.js";

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

/**
 * @param {string} title
 * @param {string[][]} rows
 * @param {() => HTMLCanvasElement | null} [canvas]
 */
export function copyable(title, rows, canvas) {
  const picture = () => {
    const drawn = canvas?.();
    if (!drawn) return;
    // On the surface's colour: a picture with no ground is unreadable in a dark chat.
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [drawn.width, drawn.height];
    const context = copy.getContext("2d");
    if (!context) return;
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--surface");
    context.fillRect(0, 0, copy.width, copy.height);
    context.drawImage(drawn, 0, 0);
    copy.toBlob((blob) => blob && save(`${fileName(title)}.png`, blob), "image/png");
  };
  return html`<button type="button" title="Save as CSV" onClick=${() => save(`${fileName(title)}.csv`, new Blob([csv(rows)], { type: "text/csv" }))}>CSV</button>${
    canvas && html`<button type="button" title="Save as a picture" onClick=${picture}>PNG</button>`}`;
}
