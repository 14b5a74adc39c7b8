// How agents and machines are wired to this server.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { ago } from "../format.js";
import { now } from "../state.js";
import { Empty, shown } from "../parts/states.js";

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

function Machines() {
  const answer = useAnswer("machines");
  const url = address() ?? `${location.protocol}//THIS-MACHINE${location.port ? `:${location.port}` : ""}`;
  const line = "scp $(which ducat ducat-hook ducat-statusline) box:/usr/local/bin/ && ducat key create box | ssh box 'umask 077; cat >~/.ducat-key; "
    + `ducat setup claude-code --yes; nohup ducat ship --to ${url} --key-file ~/.ducat-key >/dev/null 2>&1 &'`;
  return html`<section class="card" id="machines"><h2>Machines</h2>${shown(answer, "machines", (data) => data.rows.length === 0
    ? html`<${Empty}>Only this one. Others send what their agents do to this ledger.<//>`
    : html`<table class="rows"><tbody>${data.rows.map((/** @type {any} */ machine) => html`<tr key=${machine.machine}><th scope="row" class="grow">${machine.host}</th><td class="wide muted">${machine.client_version}</td>
        <td class="warn">${clockOf(machine)}</td><td class="number muted">${ago(machine.last_seen, now.value)}</td></tr>`)}</tbody></table>`)}
    <details><summary>Add a machine, container or runner</summary>
      <p>Here, for a machine that ssh calls box:</p><p><code class="command">${line}</code></p>
      ${address() === null && html`<p class="note">This server is asked under a name that only this machine has: have it listen for others with <code>ducat serve --host 0.0.0.0 --public-url ${url}</code> and a key in METRICS_API_KEY.</p>`}
      <p class="note">Facts are sent, never prompts, outputs or files.</p></details></section>`;
}

/** @type {[string, string][]} */
const WIRING = [["Claude Code", "ducat setup claude-code"], ["Codex", "ducat setup codex"], ["Gemini CLI", "ducat setup gemini"],
  ["Claude Code's status line", "ducat setup claude-code --status-line"], ["What is wired, and last seen", "ducat agents"], ["What is wrong, and its remedy", "ducat doctor"]];

export function Settings() {
  return html`<section class="card"><h2>Agents</h2><table class="rows"><tbody>${WIRING.map(([name, command]) => html`<tr key=${name}><th scope="row">${name}</th><td class="grow"><code class="command">${command}</code></td></tr>`)}</tbody></table></section>
    <${Machines} />`;
}
