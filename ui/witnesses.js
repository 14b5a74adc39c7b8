// Witnesses that have gone quiet while others go on telling of the same agent.
import { element } from "./dom.js";
import { ago } from "./figures.js";

const NAMES = {
  hook: "hooks", transcript: "transcripts", otlp_log: "telemetry logs", otlp_span: "telemetry spans", otlp_metric: "telemetry metrics",
  status_line: "status line", api: "API calls",
};

function names(witnesses) {
  return witnesses.map((witness) => NAMES[witness] ?? witness).join(", ");
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
    const what = `No word from the ${names(silent)} of ${agent}${hosts.size > 1 ? ` on ${host}` : ""} (the last ${ago(heard, now)}), `
      + `while its ${names(others) || "others"} went on (${ago(until, now)}). `;
    return element("p", { class: "notice bad witness", title: `${heard} to ${until}` }, what, ...words(quiet.remedy));
  });
}
