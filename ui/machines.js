// Machines that ship here, and how to add one.
import { element } from "./dom.js";
import { ago } from "./figures.js";

/** Clocks that stand further apart are told. */
const APART_MS = 60 * 1000;

function clock(machine) {
  const apart = machine.clock_skew_ms;
  if (Math.abs(apart ?? 0) < APART_MS) return "";
  const minutes = Math.round(Math.abs(apart) / 60000);
  return `its clock is ${minutes} min ${apart > 0 ? "ahead" : "behind"}`;
}

function row(machine, now) {
  const cells = [[machine.host, ""], [machine.client_version ?? "", "wide"], [clock(machine), "fault"], [ago(machine.last_seen, now), "number"]];
  return element("tr", {}, ...cells.map(([text, kind]) => element("td", { class: kind, title: text }, text)));
}

/** Where other machines reach this one: as the browser does, unless that is this machine's own name for itself. */
function address() {
  const own = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname) || location.hostname.endsWith(".localhost");
  return own ? null : location.origin;
}

function howTo() {
  const url = address();
  const steps = [
    ["Here, for its key:", "ducat key create laptop"],
    ["There:", `DUCAT_SHIP_KEY=dk_… ducat ship --to ${url ?? "http://THIS-MACHINE:9090"}`],
  ];
  const note = url ? [] : [element("p", { class: "note" }, "This server is asked under a name that only this machine has: have it listen for others with ",
    element("code", {}, "ducat serve --host 0.0.0.0 --public-url http://THIS-MACHINE:9090"), " and a key in METRICS_API_KEY.")];
  return element("details", {}, element("summary", {}, "Add a machine, container or runner"),
    ...steps.map(([what, command]) => element("p", { class: "command" }, `${what} `, element("code", {}, command))), ...note,
    element("p", { class: "note" }, "Facts are sent, never prompts, outputs or files."));
}

export function machineTable(rows, now) {
  const list = rows.length === 0
    ? element("p", { class: "empty" }, "Only this one. Others send what their agents do to this ledger.")
    : element("table", {}, element("tbody", {}, ...rows.map((machine) => row(machine, now))));
  return [list, howTo()];
}
