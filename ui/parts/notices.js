// What is to be acted on.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { ago, bytes } from "../format.js";
import { now, zone } from "../state.js";
import { marked } from "./command.js";
import { witnessName } from "./names.js";

const WEEK_MS = 7 * 86_400_000;

/** A notice for a client's folder of which something goes within a week. @param {{ folder: any }} properties */
function Going({ folder }) {
  const due = Date.parse(folder.next_deletion_at);
  const when = due <= now.value ? "with its next session" : `from ${new Date(due).toLocaleDateString("en-GB", { timeZone: zone.value, weekday: "short", day: "numeric", month: "short" })}`;
  const lost = folder.not_imported_files;
  return html`<p class=${lost === 0 ? "notice" : "notice bad"} title=${folder.folder}>
    Claude Code deletes ${folder.files} transcript${folder.files === 1 ? "" : "s"} (${bytes(folder.bytes)}) ${when}: it keeps them ${folder.cleanup_period_days} days.
    ${lost === 0 ? "The ledger has read them and keeps what they told." : `${lost} of them ${lost === 1 ? "is" : "are"} not in the ledger.`}${" "}
    <code>ducat setup claude-code --keep-transcripts 365</code> keeps them longer.</p>`;
}

/** `hooks, telemetry (logs, spans)`. @param {string[]} witnesses */
function names(witnesses) {
  const signals = witnesses.filter((witness) => witness.startsWith("otlp_")).map((witness) => witnessName(witness).replace("telemetry ", ""));
  const others = witnesses.filter((witness) => !witness.startsWith("otlp_")).map(witnessName);
  return [...others, ...(signals.length ? [`telemetry (${signals.join(", ")})`] : [])].join(", ");
}

/** Rows that need the same are one notice. @param {any[]} rows @returns {any[][]} */
function grouped(rows) {
  const groups = new Map();
  for (const row of rows.filter((row) => row.quiet)) {
    const key = JSON.stringify([row.agent, row.host, row.quiet.remedy]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()];
}

/** What went quiet of an agent on a host while others go on. @param {{ group: any[], isOneHost: boolean }} properties */
function Quiet({ group, isOneHost }) {
  const latest = (/** @type {string[]} */ times) => times.reduce((one, other) => (one > other ? one : other));
  const [{ agent, host, quiet }] = group;
  const silent = group.map((row) => row.witness);
  const others = [...new Set(group.flatMap((row) => row.quiet.others))].filter((other) => !silent.includes(other));
  const heard = latest(group.map((row) => row.heard_at));
  const until = latest(group.map((row) => row.quiet.others_heard_at));
  return html`<p class="notice" title=${`${heard} to ${until}`}>
    <strong>No word from the ${names(silent)} of ${agent}${isOneHost ? "" : ` on ${host}`} since ${ago(heard, now.value)}, while its ${names(others) || "others"} went on until ${ago(until, now.value)}.</strong>${" "}
    ${marked(quiet.remedy)}</p>`;
}

/** @param {{ witnesses: any[] }} properties */
export function Notices({ witnesses }) {
  const { data } = useAnswer("history");
  const going = (data?.rows ?? []).filter((/** @type {any} */ folder) => folder.files > 0 && folder.next_deletion_at && Date.parse(folder.next_deletion_at) - now.value < WEEK_MS);
  const isOneHost = new Set(witnesses.map(({ host }) => host)).size <= 1;
  return [
    ...grouped(witnesses).map((group) => html`<${Quiet} key=${`${group[0].agent} ${group[0].host} ${group[0].witness}`} group=${group} isOneHost=${isOneHost} />`),
    ...going.map((/** @type {any} */ folder) => html`<${Going} key=${folder.folder} folder=${folder} />`),
  ];
}
