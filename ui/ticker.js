// What happens now: the server's live events, the latest first.
import { tokens, usd } from "./figures.js";

const MOST = 12;

function last(path) {
  return (path ?? "").split(/[/\\]/).filter(Boolean).pop() ?? "";
}

/** What an event says: a word for its kind, what it is about, what came of it. */
function words(event) {
  switch (event.kind) {
    case "tool_call": {
      const took = event.duration_ms === null ? "" : event.duration_ms < 1000 ? `${event.duration_ms} ms` : `${(event.duration_ms / 1000).toFixed(1)} s`;
      return [event.name ?? "tool", last(event.target), [event.outcome ?? "running", took].filter(Boolean).join(", "), event.outcome];
    }
    case "request":
      return ["request", event.model, `${tokens(event.output_tokens)} out, ${usd(event.cost_usd)}`];
    case "turn":
      return ["prompt", "", event.ended ? "answered" : event.prompt_bytes === null ? "" : `${event.prompt_bytes.toLocaleString("en-US")} bytes`];
    case "incident":
      return [(event.incident ?? "").replaceAll("_", " "), event.detail ?? "", ""];
    default:
      return null;
  }
}

/** Shows live events in `place`; calls `changed` when something happened, and `connected` with whether events come. */
export function ticker(place, changed, connected) {
  const rows = new Map();
  const source = new EventSource("/api/v1/live");
  source.onopen = () => connected(true);
  source.onerror = () => connected(false);
  source.addEventListener("missed", changed);
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    changed();
    const said = words(event);
    if (!said) return;
    const [kind, about, result, outcome] = said;
    const key = event.tool_call ?? event.request ?? `${event.kind}${event.at}${event.session}${event.incident ?? ""}`;
    const row = document.createElement("tr");
    const cells = [
      [new Date(event.at).toLocaleTimeString("en-GB"), "time"],
      [kind, outcome && outcome !== "ok" ? "fault" : ""],
      [about, "about"],
      [last(event.project) || event.agent, "wide"],
      [result, "number"],
    ];
    for (const [text, name] of cells) {
      const cell = document.createElement("td");
      cell.className = name;
      cell.textContent = text;
      row.append(cell);
    }
    // A call that ends takes the place of its start.
    if (rows.has(key)) rows.get(key).replaceWith(row);
    else place.prepend(row);
    rows.set(key, row);
    while (place.rows.length > MOST) place.lastElementChild.remove();
    for (const [known, shown] of rows) if (!shown.isConnected) rows.delete(known);
    place.closest("section").classList.remove("quiet");
  };
}
