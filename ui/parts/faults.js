// What went wrong in a session: failed tool calls and incidents, by kind.
import { html } from "../lib.js";
import { duration, moment, tokens, whole } from "../format.js";
import { now, zone } from "../state.js";
import { copyable } from "./copy.js";

/** Of one kind, shown. */
const MOST = 50;

/** @typedef {{ kind: string, isFault: boolean, at: string | null, what: string, about: string, note: string }} Fault */

/** @param {any[]} calls @param {any[]} incidents @returns {Map<string, Fault[]>} the most frequent kind first */
export function faultsOf(calls, incidents) {
  /** @type {Fault[]} */
  const all = [
    ...incidents.map(({ kind, at, value, detail }) => ({ kind: (kind ?? "incident").replaceAll("_", " "), isFault: kind !== "compaction", at, what: "", about: detail ?? "", note: value === null ? "" : kind === "compaction" ? `at ${tokens(value)} tokens` : String(value) })),
    ...calls.filter(({ outcome }) => outcome && outcome !== "ok").map(({ name, target, outcome, error_kind, started_at, duration_ms }) => ({
      kind: `tool call ${outcome === "error" ? "failed" : outcome.replaceAll("_", " ")}${error_kind ? `: ${error_kind.replaceAll("_", " ")}` : ""}`, isFault: outcome === "error", at: started_at, what: name ?? "tool", about: target ?? "", note: duration_ms === null ? "" : duration(duration_ms) })),
  ];
  /** @type {Map<string, Fault[]>} */
  const kinds = new Map();
  for (const fault of all) {
    const known = kinds.get(fault.kind);
    if (known) known.push(fault);
    else kinds.set(fault.kind, [fault]);
  }
  return new Map([...kinds].sort(([, one], [, other]) => other.length - one.length));
}

/** @param {{ kinds: Map<string, Fault[]> }} properties */
export function Faults({ kinds }) {
  if (kinds.size === 0) return html`<p class="empty">Nothing failed.</p>`;
  const table = () => [["kind", "at", "tool", "target_or_detail", "note"], ...[...kinds.values()].flat().map(({ kind, at, what, about, note }) => [kind, at ?? "", what, about, note])];
  return html`<div class="tools">${copyable("errors of the session", table)}</div>${[...kinds].map(([kind, all]) => html`<details key=${kind} open=${kinds.size === 1 && all.length <= 8}>
    <summary data-row><span class=${all[0].isFault ? "bad" : ""}>${kind}</span> <b>${whole(all.length)}</b></summary>
    <table class="rows"><tbody>${all.slice(0, MOST).map(({ at, what, about, note }, place) => html`<tr key=${place}><td class="muted">${at ? moment(at, zone.value, now.value) : ""}</td>${what && html`<td>${what}</td>`}<td class="grow muted" title=${about}>${about}</td><td class="number">${note}</td></tr>`)}</tbody></table>
    ${all.length > MOST && html`<p class="note">and ${whole(all.length - MOST)} more in the CSV</p>`}</details>`)}`;
}
