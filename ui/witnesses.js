// Witnesses that have gone quiet while others go on telling of the same agent.
import { element } from "./dom.js";
import { ago } from "./figures.js";

const NAMES = { hook: "hooks", transcript: "transcripts", status_line: "status line", api: "API calls" };
const TELEMETRY = { otlp_log: "logs", otlp_span: "spans", otlp_metric: "metrics" };

/** `hooks, telemetry (logs, spans)`. */
function names(witnesses) {
  const signals = witnesses.filter((witness) => witness in TELEMETRY).map((witness) => TELEMETRY[witness]);
  const others = witnesses.filter((witness) => !(witness in TELEMETRY)).map((witness) => NAMES[witness] ?? witness);
  return [...others, ...(signals.length ? [`telemetry (${signals.join(", ")})`] : [])].join(", ");
}

/** Text whose parts between backquotes are commands. */
function words(text) {
  return text.split("`").map((part, place) => (place % 2 ? element("code", {}, part) : part));
}

/** Rows that need the same are one notice. */
function grouped(rows) {
  const groups = new Map();
  for (const row of rows.filter((row) => row.quiet)) {
    const key = JSON.stringify([row.agent, row.host, row.quiet.remedy]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()];
}

/** A notice for what went quiet of each agent and host. */
export function quietNotices(rows, now) {
  const hosts = new Set(rows.map((row) => row.host));
  const latest = (times) => times.reduce((one, other) => (one > other ? one : other));
  return grouped(rows).map((group) => {
    const [{ agent, host, quiet }] = group;
    const silent = group.map((row) => row.witness);
    const others = [...new Set(group.flatMap((row) => row.quiet.others))].filter((other) => !silent.includes(other));
    const heard = latest(group.map((row) => row.heard_at));
    const until = latest(group.map((row) => row.quiet.others_heard_at));
    const what = `No word from the ${names(silent)} of ${agent}${hosts.size > 1 ? ` on ${host}` : ""} since ${ago(heard, now)}, `
      + `while its ${names(others) || "others"} went on until ${ago(until, now)}.`;
    return element("p", { class: "notice", title: `${heard} to ${until}` }, element("strong", {}, what), " ", ...words(quiet.remedy));
  });
}
