// What a session is made of, from the facts that the server tells of it: conversations, rebuilt caches, and which call each request's cost belongs to.

/**
 * @typedef {object} Request as the API tells it, with when it began
 * @property {string} request @property {string} model @property {string | null} turn @property {string | null} subagent @property {string | null} [subagent_type]
 * @property {string | null} started_at @property {number | null} duration_ms @property {number | null} [ttft_ms] @property {boolean} is_sum @property {boolean} estimated
 * @property {number} input_tokens @property {number} output_tokens @property {number} cache_read_tokens @property {number} cache_write_5m_tokens @property {number} cache_write_1h_tokens
 * @property {number | null} cost_usd @property {string | null} cost_nano_usd @property {string | null} [stop_reason] @property {string[]} witnesses
 * @property {string | null} [effort] @property {string | null} [speed] @property {string | null} [query_source] @property {number | null} [attempts]
 */
/**
 * @typedef {object} Call
 * @property {string} tool_call @property {string | null} name @property {string | null} target @property {string | null} turn @property {string | null} [request] @property {string | null} subagent
 * @property {string | null} outcome @property {string | null} error_kind @property {string | null} started_at @property {number | null} duration_ms
 * @property {number | null} input_bytes @property {number | null} result_bytes @property {string | null} [mcp_server]
 */
/** @typedef {{ turn: string, started_at: string | null, ended_at: string | null, prompt_bytes: number | null }} Turn */
/** @typedef {{ kind: string | null, at: string | null, value: number | null, detail: string | null }} Incident */
/** @typedef {{ requests: Request[], tool_calls: Call[], turns: Turn[], incidents: Incident[] }} Facts */

/** Milliseconds since 1970, null where no time was told. @param {string | null} time */
export function instant(time) {
  return time ? Date.parse(time) : null;
}

/** In their order; what has no time comes first, as it was told. @template {{ started_at: string | null }} T @param {T[]} facts */
export function inOrder(facts) {
  return facts.map((fact) => ({ fact, at: instant(fact.started_at) ?? -Infinity })).sort((one, other) => (one.at === other.at ? 0 : one.at - other.at)).map(({ fact }) => fact);
}

/** @param {Request} request */
export function written(request) {
  return request.cache_write_5m_tokens + request.cache_write_1h_tokens;
}

/** All that a request sent: what of its context window was full. @param {Request} request */
export function sent(request) {
  return request.cache_read_tokens + written(request) + request.input_tokens;
}

/** @param {string | null | undefined} nano */
export function nanoOf(nano) {
  return nano === null || nano === undefined ? 0n : BigInt(nano);
}

/** The main agent's requests and those of each sub-agent: each has a context of its own. @param {Request[]} requests in their order */
export function conversations(requests) {
  /** @type {Map<string, Request[]>} */
  const all = new Map();
  for (const request of requests) {
    if (request.is_sum) continue;
    const name = request.subagent ?? "";
    const known = all.get(name);
    if (known) known.push(request);
    else all.set(name, [request]);
  }
  return [...all].sort(([one], [other]) => Number(one !== "") - Number(other !== ""));
}

/** Fewer tokens than this are not kept in a cache by any provider, so that losing them rebuilds nothing. */
const LEAST_CACHED = 1024;

export const REBUILD = "Rebuilt cache: less than half of what the request before left in the cache (read and written) was read, and at least half of what was lost was written anew. Common causes are a pause longer than the cache lives, another model, and changed tools or instructions.";

/** Which requests of one conversation built its cache anew; see `REBUILD`. @param {Request[]} requests in their order @returns {boolean[]} */
export function rebuilds(requests) {
  return requests.map((request, at) => {
    const before = requests[at - 1];
    if (!before) return false;
    const cached = before.cache_read_tokens + written(before);
    const lost = cached - request.cache_read_tokens;
    return cached >= LEAST_CACHED && request.cache_read_tokens < cached / 2 && written(request) >= lost / 2;
  });
}

/** The last of a sorted list that is at most so large; -1 for none. @param {number} value @param {number} length @param {(at: number) => number} of */
export function lastAtMost(value, length, of) {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(middle) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** @param {string | null} turn @param {string | null} subagent */
const place = (turn, subagent) => `${turn ?? ""}\0${subagent ?? ""}`;

/**
 * The request that asked for each call: the one that the call names, else the last of the same turn and sub-agent that began before it.
 * @param {Request[]} requests in their order @param {Call[]} calls @returns {Map<string, Call[]>} calls by request
 */
export function askedFor(requests, calls) {
  const known = new Set(requests.map(({ request }) => request));
  /** @type {Map<string, { at: number, request: string }[]>} */
  const timed = new Map();
  for (const { request, started_at, turn, subagent, is_sum } of requests) {
    const at = instant(started_at);
    if (at === null || is_sum) continue;
    const key = place(turn, subagent);
    const known = timed.get(key);
    if (known) known.push({ at, request });
    else timed.set(key, [{ at, request }]);
  }
  /** @type {Map<string, Call[]>} */
  const asked = new Map();
  for (const call of calls) {
    let by = call.request && known.has(call.request) ? call.request : null;
    const at = instant(call.started_at);
    if (by === null && at !== null) {
      const before = timed.get(place(call.turn, call.subagent)) ?? [];
      by = before[lastAtMost(at, before.length, (place) => before[place].at)]?.request ?? null;
    }
    if (by === null) continue;
    const list = asked.get(by);
    if (list) list.push(call);
    else asked.set(by, [call]);
  }
  return asked;
}

/** What of the cost of a session belongs to what. `unpriced` counts requests whose cost is unknown. @typedef {{ name: string, label: string, nano: bigint, requests: number, unpriced: number, parts: Map<string, Spent> }} Spent */

/** @param {string} name @param {string} label @returns {Spent} */
function nothing(name, label) {
  return { name, label, nano: 0n, requests: 0, unpriced: 0, parts: new Map() };
}

/** Where cost goes that no call asked for, and what was told as a sum and not request by request. */
export const [ANSWER, SUM] = ["answer", "told only as a sum"];

/**
 * A session's cost by turn, tool and file: a request's goes evenly to the calls it asked for, else to the answer.
 * @param {Request[]} requests in their order @param {Map<string, Call[]>} asked @param {Map<string, string>} turns their names @returns {Spent}
 */
export function spent(requests, asked, turns) {
  const all = nothing("", "session");
  for (const request of requests) {
    const turn = request.turn ?? "";
    const calls = asked.get(request.request) ?? [];
    const end = request.is_sum ? SUM : ANSWER;
    const paths = calls.length === 0 ? [[end, end, ""]] : calls.map((call) => [call.name ?? "tool", call.name ?? "tool", call.target ?? ""]);
    const whole = nanoOf(request.cost_nano_usd);
    const share = whole / BigInt(paths.length);
    /** Calls of one request meet in a turn, which counts it once. @type {Set<Spent>} */
    const counted = new Set();
    paths.forEach(([tool, label, target], at) => {
      // What does not divide goes to the first, so that it adds up.
      const nano = at === 0 ? whole - share * BigInt(paths.length - 1) : share;
      const steps = [[turn, turns.get(turn) ?? "no turn"], [tool, label], ...(tool === end ? [] : [[target, target || "no file named"]])];
      let node = all;
      for (const step of [null, ...steps]) {
        if (step) {
          const [name, label] = step;
          const part = node.parts.get(name) ?? nothing(name, label);
          node.parts.set(name, part);
          node = part;
        }
        node.nano += nano;
        if (counted.has(node)) continue;
        counted.add(node);
        node.requests += 1;
        if (request.cost_nano_usd === null) node.unpriced += 1;
      }
    });
  }
  return all;
}

/** The largest first. @param {Spent} node */
export function partsOf(node) {
  return [...node.parts.values()].sort((one, other) => (one.nano === other.nano ? 0 : one.nano < other.nano ? 1 : -1));
}

/** Tools with their files, over all turns below. @param {Spent[]} turns @returns {{ tool: string, target: string, nano: bigint, requests: number, unpriced: number }[]} */
export function files(turns) {
  /** @type {Map<string, { tool: string, target: string, nano: bigint, requests: number, unpriced: number }>} */
  const all = new Map();
  for (const turn of turns) {
    for (const tool of turn.parts.values()) {
      for (const { name, nano, requests, unpriced } of tool.parts.size === 0 ? [{ ...tool, name: "" }] : tool.parts.values()) {
        const key = `${tool.name}\0${name}`;
        const known = all.get(key) ?? { tool: tool.name, target: name, nano: 0n, requests: 0, unpriced: 0 };
        all.set(key, { ...known, nano: known.nano + nano, requests: known.requests + requests, unpriced: known.unpriced + unpriced });
      }
    }
  }
  return [...all.values()].sort((one, other) => (one.nano === other.nano ? 0 : one.nano < other.nano ? 1 : -1));
}
