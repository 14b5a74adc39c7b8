// Keys that work everywhere, and the sheet that names them.
import { html, signal, useEffect, useRef } from "../lib.js";
import { address, go } from "../state.js";
import { colorsChanged } from "../theme_colors.js";
import { pick, shift, zoomOut } from "./picker.js";

const isHelping = signal(false);

/** After `g`. @type {Record<string, string>} */
const PLACES = { o: "", s: "sessions", t: "tools", m: "models", p: "projects", r: "reconcile" };

/** @type {[keys: string, what: string][]} */
const SHEET = [
  ["g o", "Overview"], ["g s", "Sessions"], ["g t", "Tools"], ["g m", "Models"], ["g p", "Projects"], ["g r", "Reconcile"],
  ["/", "Search"], ["j k", "Next, previous row"], ["Enter", "Open the row"],
  ["[ ]", "Earlier, later"], [".", "Today"], ["← →", "In a chart: bar to bar; Enter looks closer"], ["Esc", "Close, or look at more time again"],
  ["t", "Light, dark or the system's theme"], ["?", "These keys"],
];

function nextTheme() {
  const root = document.documentElement;
  const next = { undefined: "dark", dark: "light", light: undefined }[String(root.dataset.theme)];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  try {
    if (next) localStorage.setItem("theme", next);
    else localStorage.removeItem("theme");
  } catch {
    // Storage is forbidden: it holds until the page is closed.
  }
  colorsChanged();
}

/** Moves among rows that can be opened. @param {1 | -1} way */
function step(way) {
  const rows = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("main [data-row]"))];
  const at = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
  const row = rows[Math.max(0, Math.min(rows.length - 1, at + way))];
  /** @type {HTMLElement | null | undefined} */ (row?.querySelector("a, button, summary"))?.focus();
}

export function shortcuts() {
  let isGoing = false;
  addEventListener("keydown", (event) => {
    const target = event.target instanceof HTMLElement ? event.target : null;
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (target?.matches("input, select, textarea")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (isGoing) {
      isGoing = false;
      const view = PLACES[event.key];
      if (view !== undefined) go(address(view));
      return;
    }
    /** @type {Record<string, () => void>} */
    const keys = {
      g: () => (isGoing = true),
      j: () => step(1), k: () => step(-1), "[": () => shift(-1), "]": () => shift(1), ".": () => pick("today"), t: nextTheme, Escape: zoomOut,
      "?": () => (isHelping.value = true), "/": () => /** @type {HTMLElement | null} */ (document.querySelector("main input[type=search]"))?.focus(),
    };
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });
}

export function Help() {
  const sheet = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    if (isHelping.value) sheet.current?.showModal();
  }, [isHelping.value]);
  return html`<dialog ref=${sheet} aria-label="Keys" onClose=${() => (isHelping.value = false)}>
    <h2>Keys</h2>
    <dl>${SHEET.map(([keys, what]) => html`<div key=${keys}><dt>${keys.split(" ").map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl>
    <form method="dialog"><button>Close</button></form>
  </dialog>`;
}
