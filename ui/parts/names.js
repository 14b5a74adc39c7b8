// What dimensions and the names in them are called.
import { last } from "../format.js";

/** What spend can be cut by. @type {[dimension: string, one: string, many: string][]} */
export const DIMENSIONS = [
  ["project", "Project", "Projects"], ["branch", "Branch", "Branches"], ["model", "Model", "Models"], ["agent", "Agent", "Agents"], ["user", "User", "Users"],
  ["team", "Team", "Teams"], ["host", "Host", "Hosts"], ["billing", "Billing", "Billing"], ["subagent", "Sub-agent", "Sub-agents"], ["skill", "Skill", "Skills"],
  ["mcp_server", "MCP server", "MCP servers"], ["plugin", "Plugin", "Plugins"],
];

/** A project is known by its last folder. @param {string} dimension @param {string} name */
export function label(dimension, name) {
  return dimension === "project" ? last(name) || name : name;
}

/**
 * How names are written beside each other: projects whose last folder is the same also by the one before.
 * @param {string} dimension @param {Iterable<string | null | undefined>} names all of them
 * @returns {(name: string) => string}
 */
export function labels(dimension, names) {
  /** @type {Map<string, number>} */
  const times = new Map();
  if (dimension === "project") for (const name of new Set(names)) times.set(last(name), (times.get(last(name)) ?? 0) + 1);
  return (name) => ((times.get(last(name)) ?? 0) > 1 ? name.split(/[/\\]/).filter(Boolean).slice(-2).join("/") : label(dimension, name));
}

/** @type {Record<string, string>} */
const WITNESSES = {
  transcript: "transcripts", hook: "hooks", status_line: "status line", api: "API calls", otlp_log: "telemetry logs", otlp_span: "telemetry spans", otlp_metric: "telemetry metrics",
  otlp: "telemetry", derived: "derived",
};

/** What a witness is called. @param {string} witness */
export function witnessName(witness) {
  return WITNESSES[witness] ?? witness;
}
