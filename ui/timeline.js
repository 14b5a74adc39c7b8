// A session laid out in time: its turns, requests and calls as bars in rows, with long pauses folded.
import { inOrder, instant, lastAtMost } from "./session_shape.js";

/** @typedef {{ kind: "turn" | "request" | "call", from: number, to: number, fact: any, isBad: boolean }} Bar times in milliseconds */
/** `depth` says how far it is nested; only the first row of a lane has a label. @typedef {{ label: string, depth: number, kind: Bar["kind"], bars: Bar[] }} Row */
/** @typedef {{ at: number, length: number, from: number, to: number }} Fold a pause: when, how long, and where it is in folded time */

/** A pause longer than this is folded. */
const LONG_MS = 5 * 60_000;
/** A fold is this share of the time that is left, and all of them together no more than that. */
const [ONE_SHARE, ALL_SHARE] = [0.02, 0.25];
/** Calls side by side that get a row of their own; more lie over each other. */
const MOST_ROWS = 6;

/** Rows in which bars do not lie over each other. @param {Bar[]} bars in their order */
function packed(bars) {
  /** @type {Bar[][]} */
  const rows = [];
  for (const bar of bars) {
    const free = rows.find((row) => row[row.length - 1].to <= bar.from) ?? (rows.length < MOST_ROWS ? undefined : rows[rows.length - 1]);
    if (free) free.push(bar);
    else rows.push([bar]);
  }
  return rows;
}

/** @param {string} label @param {number} depth @param {Bar["kind"]} kind @param {Bar[]} bars @returns {Row[]} */
function lane(label, depth, kind, bars) {
  return packed(bars).map((bars, at) => ({ label: at === 0 ? label : "", depth, kind, bars }));
}

/** @param {Bar["kind"]} kind @param {any[]} facts @returns {Bar[]} */
function bars(kind, facts) {
  return inOrder(facts).flatMap((fact) => {
    const from = instant(fact.started_at);
    if (from === null) return [];
    return [{ kind, from, to: from + Math.max(0, fact.duration_ms ?? 0), fact, isBad: Boolean(fact.outcome && fact.outcome !== "ok") }];
  });
}

/**
 * Rows from the top: turns, the main agent's requests and calls, and below each sub-agent its own.
 * @param {{ turns: any[], requests: any[], tool_calls: any[] }} facts
 */
export function rows({ turns, requests, tool_calls }) {
  const asked = bars("request", requests.filter(({ is_sum }) => !is_sum));
  const called = bars("call", tool_calls);
  const began = bars("turn", turns);
  /** @type {Map<string, number>} */
  const ends = new Map();
  for (const { fact, to } of [...asked, ...called]) if (fact.turn) ends.set(fact.turn, Math.max(ends.get(fact.turn) ?? 0, to));
  // A turn lasts until it was told to end, else as long as what belongs to it.
  for (const bar of began) bar.to = Math.max(bar.from, instant(bar.fact.ended_at) ?? ends.get(bar.fact.turn) ?? bar.from);
  const names = [...new Set([...asked, ...called].map(({ fact }) => fact.subagent ?? ""))];
  /** @type {Map<string, { asked: Bar[], called: Bar[] }>} */
  const by = new Map(names.map((name) => [name, { asked: [], called: [] }]));
  for (const bar of asked) by.get(bar.fact.subagent ?? "")?.asked.push(bar);
  for (const bar of called) by.get(bar.fact.subagent ?? "")?.called.push(bar);
  const main = by.get("") ?? { asked: [], called: [] };
  by.delete("");
  return [
    ...lane("turns", 0, "turn", began), ...lane("requests", 1, "request", main.asked), ...lane("tools", 2, "call", main.called),
    ...[...by].flatMap(([name, { asked, called }]) => [...lane(`${asked[0]?.fact.subagent_type ?? "sub-agent"} ${name.slice(0, 8)}`, 2, "request", asked), ...lane("tools", 3, "call", called)]),
  ];
}

/** Time without its long pauses: how real and folded time become each other. */
export class Folded {
  /** @param {Row[]} rows */
  constructor(rows) {
    // A turn goes on through a pause in which nothing happens: only requests and calls say when something did, and that a turn began.
    const times = rows.flatMap(({ kind, bars }) => bars.map(({ from, to }) => (kind === "turn" ? [from, from] : [from, to]))).sort(([one], [other]) => one - other);
    /** @type {[number, number][]} */
    const busy = [];
    for (const [from, to] of times) {
      const last = busy[busy.length - 1];
      if (last && from - last[1] <= LONG_MS) last[1] = Math.max(last[1], to);
      else busy.push([from, to]);
    }
    const length = Math.max(1000, busy.reduce((sum, [from, to]) => sum + to - from, 0));
    const fold = Math.min(length * ONE_SHARE, (length * ALL_SHARE) / Math.max(1, busy.length - 1));
    /** @type {Fold[]} */
    this.folds = [];
    /** Where each stretch begins, in real and in folded time, and its length. @type {{ real: number, folded: number, length: number }[]} */
    this.stretches = [];
    let folded = 0;
    busy.forEach(([from, to], at) => {
      if (at > 0) {
        const end = busy[at - 1][1];
        this.folds.push({ at: end, length: from - end, from: folded, to: folded + fold });
        folded += fold;
      }
      this.stretches.push({ real: from, folded, length: to - from });
      folded += to - from;
    });
    this.first = busy[0]?.[0] ?? 0;
    this.last = busy.length ? busy[busy.length - 1][1] : 0;
    /** All of it in folded milliseconds. */
    this.length = Math.max(1000, folded);
  }

  /** @param {number} real */
  fold(real) {
    const at = lastAtMost(real, this.stretches.length, (place) => this.stretches[place].real);
    if (at < 0) return 0;
    const { real: from, folded, length } = this.stretches[at];
    const past = real - from;
    if (past <= length || at === this.folds.length) return folded + Math.min(past, Math.max(length, this.length - folded));
    const pause = this.folds[at];
    return pause.from + ((pause.to - pause.from) * (past - length)) / pause.length;
  }

  /** @param {number} folded */
  unfold(folded) {
    const at = Math.max(0, lastAtMost(folded, this.stretches.length, (place) => this.stretches[place].folded));
    const stretch = this.stretches[at];
    if (!stretch) return 0;
    const past = folded - stretch.folded;
    const pause = this.folds[at];
    if (past <= stretch.length || !pause) return stretch.real + past;
    return pause.at + (pause.length * (past - stretch.length)) / (pause.to - pause.from);
  }
}
