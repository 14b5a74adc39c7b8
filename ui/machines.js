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
  const url = address() ?? `${location.protocol}//THIS-MACHINE${location.port ? `:${location.port}` : ""}`;
  const line = "scp $(which ducat ducat-hook ducat-statusline) box:/usr/local/bin/ && ducat key create box | "
    + "ssh box 'umask 077; cat >~/.ducat-key; ducat setup claude-code --yes; "
    + `nohup ducat ship --to ${url} --key-file ~/.ducat-key >/dev/null 2>&1 &'`;
  const note = address() ? [] : [element("p", { class: "note" }, "This server is asked under a name that only this machine has: have it listen for others with ",
    element("code", {}, `ducat serve --host 0.0.0.0 --public-url ${url}`), " and a key in METRICS_API_KEY.")];
  return element("details", {}, element("summary", {}, "Add a machine, container or runner"),
    element("p", { class: "command" }, "Here, for a machine that ssh calls box: ", element("code", {}, line)), ...note,
    element("p", { class: "note" }, "Facts are sent, never prompts, outputs or files."));
}

export function machineTable(rows, now) {
  const list = rows.length === 0
    ? element("p", { class: "empty" }, "Only this one. Others send what their agents do to this ledger.")
    : element("table", {}, element("tbody", {}, ...rows.map((machine) => row(machine, now))));
  return [list, howTo()];
}
