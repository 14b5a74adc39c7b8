// How agents, applications and machines are wired to this server, what prices hold, and what is kept.
import { html, useEffect, useSignal } from "../lib.js";
import { happened, useAnswer } from "../api.js";
import { ago, bytes, duration, moment, whole } from "../format.js";
import { now, zone } from "../state.js";
import { witnessName } from "../parts/names.js";
import { Command, marked } from "../parts/command.js";
import { Empty, shown } from "../parts/states.js";
import { Rates } from "./models.js";

/** Clocks that stand further apart are told. */
const APART_MS = 60_000;

/** @param {any} machine */
function clockOf(machine) {
  const apart = machine.clock_skew_ms ?? 0;
  return Math.abs(apart) < APART_MS ? "" : `its clock is ${Math.round(Math.abs(apart) / 60_000)} min ${apart > 0 ? "ahead" : "behind"}`;
}

/** Where other machines reach this one: as the browser does, unless that is this machine's own name for itself. */
function address() {
  const isOwn = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname) || location.hostname.endsWith(".localhost");
  return isOwn ? null : location.origin;
}

/** @typedef {{ version: string, uptime: number, ledger: string, otlp: { transport: string, address: string, problem: string | null }[] }} Health */

/** What the process says of itself. */
function useHealth() {
  const health = useSignal(/** @type {Health | null} */ (null));
  useEffect(() => {
    fetch("/health").then((answer) => answer.json()).then((told) => (health.value = told), () => (health.value = null));
  }, [happened.value]);
  return health.value;
}

/** @type {[name: string, command: string, what: string][]} */
const WIRING = [
  ["Claude Code", "ducat setup claude-code", "hooks and telemetry; its transcripts are read without it"],
  ["Codex", "ducat setup codex", "hooks and telemetry; its rollouts are read without it"],
  ["Gemini CLI", "ducat setup gemini", "hooks and telemetry; its chats are read without it"],
  ["Claude Code's status line", "ducat setup claude-code --status-line", "what the session costs and the quota, below the prompt"],
  ["What is wired", "ducat agents", "each agent on this machine, and when it was last heard"],
  ["What is wrong", "ducat doctor", "and its remedy"],
];

function Agents() {
  const answer = useAnswer("witnesses");
  return html`<section class="card" id="agents"><h2>Agents heard <span class="muted">in the last seven days</span></h2>${shown(answer, "witnesses", ({ rows }) => (rows.length === 0
    ? html`<${Empty}>None told of work as it happened. Transcripts that were read later are in the ledger all the same.<//>`
    : html`<table class="rows"><thead><tr><th scope="col">Agent</th><th scope="col">Witness</th><th scope="col" class="wide">Host</th><th scope="col" class="number">Heard</th></tr></thead>
      <tbody>${rows.map((/** @type {any} */ row) => html`<tr key=${`${row.agent} ${row.host} ${row.witness}`}><th scope="row">${row.agent}</th><td class="grow">${witnessName(row.witness)}${
        row.quiet && html`<p class="note wrap"><span class="warn">Quiet while ${row.quiet.others.map(witnessName).join(", ")} went on.</span> ${marked(row.quiet.remedy)}</p>`}</td>
        <td class="wide muted">${row.host}</td><td class="number" title=${row.heard_at}>${moment(row.heard_at, zone.value, now.value)}</td></tr>`)}</tbody></table>`), 4)}
    <h3>Wire more</h3>
    <table class="commands"><tbody>${WIRING.map(([name, command, what]) => html`<tr key=${name}><th scope="row">${name}</th><td><${Command} text=${command} /> <span class="note">${what}</span></td></tr>`)}</tbody></table></section>`;
}

/** @param {{ health: Health | null }} properties */
function Applications({ health }) {
  const open = (health?.otlp ?? []).filter(({ problem }) => problem === null);
  const line = (/** @type {Health["otlp"][0]} */ { transport, address }) => `OTEL_EXPORTER_OTLP_ENDPOINT=http://${location.hostname}:${address.split(":").pop()} OTEL_EXPORTER_OTLP_PROTOCOL=${transport === "grpc" ? "grpc" : "http/protobuf"} OTEL_SERVICE_NAME=my-app`;
  return html`<section class="card" id="applications"><h2>Applications <span class="muted">that speak OpenTelemetry</span></h2>
    ${health === null ? html`<${Empty}>Asking the server where it listens.<//>` : open.length === 0 ? html`<${Empty}>This server receives no telemetry: ${health.otlp.map(({ problem }) => problem).filter(Boolean).join("; ") || "it is switched off"}.<//>`
    : html`<table class="commands"><tbody>${open.map((one) => html`<tr key=${one.transport}><th scope="row">${one.transport === "grpc" ? "gRPC" : "HTTP"}</th><td><${Command} text=${line(one)} /></td></tr>`)}</tbody></table>
      <p class="note">Calls of models by the semantic conventions for generative AI are counted; prompts and answers are not kept.</p>`}</section>`;
}

function Machines() {
  const answer = useAnswer("machines");
  const url = address() ?? `${location.protocol}//THIS-MACHINE${location.port ? `:${location.port}` : ""}`;
  const line = "scp $(which ducat ducat-hook ducat-statusline) box:/usr/local/bin/ && ducat key create box | ssh box 'umask 077; cat >~/.ducat-key; "
    + `ducat setup claude-code --yes; nohup ducat ship --to ${url} --key-file ~/.ducat-key >/dev/null 2>&1 &'`;
  return html`<section class="card" id="machines"><h2>Machines</h2>${shown(answer, "machines", (data) => data.rows.length === 0
    ? html`<${Empty}>Only this one. Others send what their agents do to this ledger.<//>`
    : html`<table class="rows"><thead><tr><th scope="col">Host</th><th scope="col" class="wide">Version</th><th scope="col" class="number wide">Facts</th><th scope="col"></th><th scope="col" class="number">Seen</th></tr></thead>
      <tbody>${data.rows.map((/** @type {any} */ machine) => html`<tr key=${machine.machine}><th scope="row" class="grow">${machine.host}</th><td class="wide muted">${machine.client_version}</td><td class="number wide">${whole(machine.facts)}</td>
        <td class="warn">${clockOf(machine)}${machine.refused_lines > 0 && ` ${whole(machine.refused_lines)} lines refused`}</td><td class="number muted" title=${machine.last_seen}>${ago(machine.last_seen, now.value)}</td></tr>`)}</tbody></table>`)}
    <h3>Add a machine</h3>
    <table class="commands"><tbody>
      <tr><th scope="row">That ssh calls box</th><td><${Command} text=${line} /></td></tr>
      <tr><th scope="row">On it, as long as it runs</th><td><${Command} text=${`DUCAT_SHIP_KEY=dk_… ducat ship --to ${url}`} /></td></tr>
      <tr><th scope="row">Last step of a container</th><td><${Command} text=${`ducat ship --once --pool runners --key-file KEY --to ${url}`} /></td></tr>
      <tr><th scope="row">Without Ducat there</th><td><${Command} text="ducat pull ssh://box" /> <span class="note">copies its transcripts whole, contents too</span></td></tr>
    </tbody></table>
    ${address() === null && html`<p class="note">This server is asked under a name that only this machine has: have it listen for others with <code>ducat serve --host 0.0.0.0 --public-url ${url}</code> and a key in METRICS_API_KEY.</p>`}
    <p class="note"><code>ducat ship</code> sends facts, never prompts, outputs or files.</p></section>`;
}

function Kept() {
  const answer = useAnswer("history");
  return html`<section class="card" id="kept"><h2>What is kept</h2>
    <p>The ledger keeps every fact; nothing in it expires. Claude Code deletes its own transcripts, which the ledger has read by then:</p>
    ${shown(answer, "Claude Code's folders", ({ rows }) => (rows.length === 0 ? html`<${Empty}>No folder of Claude Code on this machine.<//>`
    : html`<table class="rows"><thead><tr><th scope="col">Folder</th><th scope="col" class="number">Kept</th><th scope="col" class="number">Go within a week</th><th scope="col" class="number wide">Not in the ledger</th></tr></thead>
      <tbody>${rows.map((/** @type {any} */ row) => html`<tr key=${row.folder}><th scope="row" class="grow" title=${row.folder}>${row.folder}</th><td class="number">${row.cleanup_period_days === null ? "for good" : `${row.cleanup_period_days} days`}</td>
        <td class="number">${row.files === 0 ? "none" : `${whole(row.files)}, ${bytes(row.bytes)}`}</td><td class=${`number wide${row.not_imported_files > 0 ? " bad" : ""}`}>${whole(row.not_imported_files)}</td></tr>`)}</tbody></table>`))}
    <h3>Keys</h3>
    <table class="commands"><tbody>
      <tr><th scope="row">A key for a machine</th><td><${Command} text="ducat key create laptop --expires 90d" /> <span class="note">it can send, and read nothing</span></td></tr>
      <tr><th scope="row">Those there are</th><td><${Command} text="ducat key list" /></td></tr>
      <tr><th scope="row">No longer</th><td><${Command} text="ducat key revoke laptop" /></td></tr>
    </tbody></table></section>`;
}

/** @param {{ health: Health | null }} properties */
function Server({ health }) {
  return html`<section class="card" id="server"><h2>This server</h2>${health === null ? html`<${Empty}>It does not answer.<//>` : html`<table class="rows"><tbody>
    <tr><th scope="row">Version</th><td class="grow">${health.version}</td></tr>
    <tr><th scope="row">Runs since</th><td title=${`${Math.round(health.uptime)} s`}>${duration(health.uptime * 1000)}</td></tr>
    <tr><th scope="row">Ledger</th><td title="device and inode of the file: by them two servers are told apart"><code>${health.ledger}</code></td></tr>
    ${health.otlp.map(({ transport, address, problem }) => html`<tr key=${transport}><th scope="row">OTLP over ${transport === "grpc" ? "gRPC" : "HTTP"}</th><td class=${problem ? "warn wrap" : ""}>${problem ?? address}</td></tr>`)}
  </tbody></table>`}<p class="note">Its API is described at <a href="/api/v1/openapi.json" data-away>/api/v1/openapi.json</a>, its metrics for Prometheus are at <a href="/metrics" data-away>/metrics</a>.</p></section>`;
}

export function Settings() {
  const health = useHealth();
  return html`<${Agents} /><${Applications} health=${health} /><${Machines} /><${Rates} /><div class="columns"><${Kept} /><${Server} health=${health} /></div>`;
}
