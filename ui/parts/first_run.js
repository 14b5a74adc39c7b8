// Nothing was heard yet: how to wire an agent. It goes away when the first event or transcript comes.
import { html } from "../lib.js";
import { Command } from "./command.js";

/** @type {[string, string, string][]} */
const WAYS = [
  ["Claude Code", "ducat setup claude-code", "hooks and telemetry, so that tool calls show as they happen; its transcripts are read without it"],
  ["Codex", "ducat setup codex", "hooks and telemetry; its rollouts are read without it"],
  ["Gemini CLI", "ducat setup gemini", "hooks and telemetry; its chats are read without it"],
];

export function FirstRun() {
  const endpoint = `http://${location.hostname}:4318`;
  return html`<section class="card first-run">
    <h2>Nothing heard yet</h2>
    <p>Start an agent and this page comes alive: sessions of Claude Code, Codex, Gemini CLI, OpenCode, Pi and Copilot CLI on this machine are found by themselves.</p>
    <h3>To see more of an agent, and at once</h3>
    <dl>${WAYS.map(([name, command, what]) => html`<div key=${name}><dt>${name}</dt><dd><${Command} text=${command} /><span class="muted">${what}</span></dd></div>`)}</dl>
    <h3>Any application that speaks OpenTelemetry</h3>
    <p><${Command} text=${`OTEL_EXPORTER_OTLP_ENDPOINT=${endpoint} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_SERVICE_NAME=my-app`} /></p>
    <p class="muted" role="status"><span class="pulse" aria-hidden="true"></span> listening</p>
  </section>`;
}
