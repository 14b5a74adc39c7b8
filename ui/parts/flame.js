// Where a session's cost went: session, turn, tool, file. What each asks for costs what the requests that asked for it cost. A click narrows.
import { html, useRef, useState } from "../lib.js";
import { exactUsd, last, usd, whole } from "../format.js";
import { ANSWER, files, partsOf } from "../session_shape.js";
import { Canvas, fitted } from "./canvas.js";
import { copyable } from "./copy.js";
import { Ranking } from "./ranking.js";

/** @typedef {import("../session_shape.js").Spent} Spent */

const [ROW, LEVELS] = [26, 4];
/** Narrower parts of a row are drawn as one. */
const LEAST = 2;
/** What is listed at first. */
const MOST = 12;
const COLORS = ["--series-7", "--accent", "--series-2", "--series-1"];
/** What the list may show. @type {[key: string, title: string][]} */
const LISTS = [["files", "Files and commands"], ["parts", "Parts of it"]];

/** @param {Spent} root @param {string[]} path @returns {Spent[]} as far as it leads */
function along(root, path) {
  const nodes = [root];
  for (const name of path) {
    const next = nodes[nodes.length - 1].parts.get(name);
    if (!next) break;
    nodes.push(next);
  }
  return nodes;
}

/** @param {Spent} node @param {number} level */
function called(node, level) {
  return level === 3 ? last(node.name) || node.label : node.label;
}

/** @param {{ spent: Spent, unasked: number }} properties `unasked` counts calls of which no witness told who asked */
export function Flame({ spent, unasked }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [asked, setPath] = useState(/** @type {string[]} */ ([]));
  const [list, setList] = useState("files");
  const [hint, setHint] = useState("");
  const [isTable, setTable] = useState(false);
  const [most, setMost] = useState(MOST);
  const nodes = along(spent, asked);
  const path = asked.slice(0, nodes.length - 1);
  const node = nodes[nodes.length - 1];
  /** Where what is drawn lies, for the pointer. @type {{ current: { x: number, until: number, level: number, path: string[] | null, title: string }[] }} */
  const areas = useRef([]);
  if (spent.nano === 0n) return html`<p class="empty">${spent.requests === 0 ? "No witness told of requests: what they cost is unknown." : spent.unpriced > 0 ? `The price of ${whole(spent.unpriced)} requests is unknown, and the others cost nothing.` : "Nothing was spent."}</p>`;

  /** @param {import("./canvas.js").Surface} surface */
  const draw = ({ context, width, token }) => {
    areas.current = [];
    const paint = (/** @type {string} */ text, /** @type {number} */ level, /** @type {number} */ x, /** @type {number} */ until, /** @type {string[] | null} */ to, /** @type {string} */ title) => {
      context.fillStyle = token(to === null ? "--line" : COLORS[level]);
      context.fillRect(x, level * ROW, Math.max(1, until - x - 1), ROW - 2);
      if (until - x > 36) {
        context.fillStyle = token(to === null ? "--text" : "--surface");
        context.fillText(fitted(context, text, until - x - 12), x + 6, level * ROW + ROW / 2);
      }
      areas.current.push({ x, until, level, path: to, title });
    };
    const down = (/** @type {Spent} */ node, /** @type {number} */ level, /** @type {number} */ x, /** @type {number} */ until, /** @type {string[]} */ to) => {
      const title = `${called(node, level)} ${usd(Number(node.nano) / 1e9)}`;
      paint(title, level, x, until, to, title);
      if (level + 1 >= LEVELS || node.nano === 0n) return;
      let left = x;
      let others = 0;
      for (const part of partsOf(node)) {
        const wide = ((until - x) * Number(part.nano)) / Number(node.nano);
        if (wide < LEAST) {
          others += 1;
          continue;
        }
        down(part, level + 1, left, left + wide, [...to, part.name]);
        left += wide;
      }
      if (others > 0 && until - left >= 1) paint(`${whole(others)} others`, level + 1, left, until, null, `${whole(others)} others`);
    };
    nodes.forEach((node, level) => level < nodes.length - 1 && paint(`${called(node, level)} ${usd(Number(node.nano) / 1e9)}`, level, 0, width, path.slice(0, level), called(node, level)));
    down(node, nodes.length - 1, 0, width, path);
  };
  const under = (/** @type {PointerEvent} */ event) => {
    const { left, top } = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
    const [x, level] = [event.clientX - left, Math.floor((event.clientY - top) / ROW)];
    return areas.current.find((area) => area.level === level && x >= area.x && x < area.until);
  };
  const turns = nodes.length === 1 ? [...spent.parts.values()] : nodes.length === 2 ? [node] : [{ ...nodes[1], parts: new Map([[nodes[2].name, nodes[2]]]) }];
  const ranked = list === "files" && nodes.length < 4
    ? files(turns).map(({ tool, target, nano, unpriced }) => ({ name: `${tool}\0${target}`, label: `${tool} ${last(target) || target}`, title: tool === ANSWER ? "requests that asked for no tool" : `${tool} ${target}`, nano, unpriced }))
    : partsOf(node).map((part) => ({ name: part.name || "\u0001", label: called(part, nodes.length), title: part.name || part.label, nano: part.nano, unpriced: part.unpriced, onPick: part.parts.size > 0 ? () => setPath([...path, part.name]) : undefined }));
  const title = "Cost by turn, tool and file";
  const table = () => [["turn", "tool", "target", "requests", "cost_nano_usd"], ...partsOf(spent).flatMap((turn) => partsOf(turn).flatMap((tool) => (tool.parts.size === 0 ? [tool] : partsOf(tool)).map((file) => [turn.label, tool.name, file === tool ? "" : file.name, String(file.requests), String(file.nano)])))];
  const drawn = () => ({ canvas: canvas.current ?? undefined, legend: /** @type {[string, string | null, string][]} */ ([["session", "--series-7", usd(Number(spent.nano) / 1e9)], ["turn", "--accent", ""], ["tool", "--series-2", ""], ["file", "--series-1", ""]]) });
  return html`<figure class="chart flame" aria-label=${title}>
    <figcaption><span class="when"><span class="path">${nodes.map((one, level) => html`${level > 0 && " / "}${level < nodes.length - 1 ? html`<button type="button" class="link" onClick=${() => setPath(path.slice(0, level))}>${called(one, level)}</button>` : html`<b>${called(one, level)} ${usd(Number(one.nano) / 1e9)}</b>`}`)}</span> <span>${hint}</span></span>
      <span class="tools"><button type="button" aria-pressed=${isTable} onClick=${() => setTable(!isTable)}>Table</button>${copyable(title, table, isTable ? undefined : drawn)}</span></figcaption>
    ${!isTable && html`<${Canvas} canvas=${canvas} draw=${draw} of=${[spent, asked]} height=${LEVELS * ROW} role="img" aria-label=${`${title}; the list below has the same figures and narrows too`}
      onPointerMove=${(/** @type {PointerEvent} */ event) => setHint(under(event)?.title ?? "")} onPointerLeave=${() => setHint("")} onClick=${(/** @type {PointerEvent} */ event) => {
        const to = under(event)?.path;
        if (to) setPath(to.length > 2 ? to.slice(0, 3) : to);
      }} />`}
    ${isTable ? html`<div class="scroll" tabindex="0" role="region" aria-label=${`${title}, as a table`}><table class="rows"><thead><tr><th scope="col">Turn</th><th scope="col">Tool</th><th scope="col">File</th><th scope="col" class="number">Cost</th></tr></thead>
        <tbody>${table().slice(1, 501).map(([turn, tool, target, , nano], at) => html`<tr key=${at}><td>${turn}</td><td>${tool}</td><td class="grow" title=${target}>${target}</td><td class="number" title=${exactUsd(nano)}>${usd(Number(nano) / 1e9)}</td></tr>`)}</tbody></table></div>`
    : html`<div class="tabs" role="group" aria-label="What is listed">${LISTS.map(([key, name]) => html`<button key=${key} type="button" aria-pressed=${key === list || (key === "parts" && nodes.length > 3)} disabled=${key === "files" && nodes.length > 3} onClick=${() => setList(key)}>${key === "parts" ? ["Turns", "Tools", "Files", "Files"][nodes.length - 1] : name}</button>`)}</div>
      <${Ranking} rows=${ranked} most=${most} none="It has no parts." />${ranked.length > most + 1 && html`<p class="note"><button type="button" onClick=${() => setMost(most * 4)}>More of them</button></p>`}`}
    <p class="note">A call costs what the request that asked for it cost; a request that asked for several is split evenly among them, one that asked for none is “answer”. What its result costs later, carried along in the context, is not in here.${unasked > 0 && ` Of ${whole(unasked)} calls it is not known which request asked for them: it counts as an answer.`}${node.unpriced > 0 && html` <span class="warn">${whole(node.unpriced)} of ${whole(node.requests)} requests are of unknown price and in no sum.</span>`}</p>
  </figure>`;
}
