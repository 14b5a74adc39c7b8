// Asking the server, and hearing of what happens.
import { effect, signal, useEffect, useSignal } from "./lib.js";

/** `of` is the question that the data answers. @typedef {{ data: any, error: string | null, isLoading: boolean, at: number, of: string | null }} Answer */

/** Counts what happened: who reads it is told again. */
export const happened = signal(0);
/** Whether events come, as far as is known. */
export const isLive = signal(true);
/** When they ceased to. */
export const lostAt = signal(0);

/**
 * @param {string} path below /api/v1
 * @param {Record<string, string>} parameters
 * @param {AbortSignal} [abort]
 */
export async function fetchJson(path, parameters = {}, abort) {
  const query = new URLSearchParams(parameters).toString();
  const answer = await fetch(`/api/v1/${path}${query ? `?${query}` : ""}`, { signal: abort });
  const body = await answer.json().catch(() => ({ error: `${answer.status} ${answer.statusText}` }));
  if (!answer.ok) throw new Error(body.error ?? `${answer.status} ${answer.statusText}`);
  return body;
}

/** @param {string} path @param {Record<string, string>} parameters */
export function question(path, parameters) {
  return `${path} ${JSON.stringify(parameters)}`;
}

/**
 * What the server answers, asked again when the question changes or something happened. An older answer stays until the new one is there.
 * @param {string | null} path nothing is asked while it is null
 * @param {Record<string, string>} parameters
 * @param {import("./vendor/signals-core.js").ReadonlySignal<number>} news counts what it is asked again for
 * @returns {Answer}
 */
export function useAnswer(path, parameters = {}, news = happened) {
  const answer = useSignal(/** @type {Answer} */ ({ data: null, error: null, isLoading: true, at: 0, of: null }));
  const key = path === null ? null : question(path, parameters);
  useEffect(() => {
    if (path === null) return undefined;
    const abort = new AbortController();
    let [isAsking, isOld] = [false, false];
    answer.value = { ...answer.peek(), isLoading: true };
    const asks = async () => {
      isOld = isAsking;
      if (isAsking || document.hidden) return;
      isAsking = true;
      try {
        const data = await fetchJson(path, parameters, abort.signal);
        if (!abort.signal.aborted) answer.value = { data, error: null, isLoading: false, at: Date.now(), of: key };
      } catch (error) {
        const fault = { error: error instanceof Error ? error.message : String(error), isLoading: false };
        // What answers another question would stand here as the answer of this one.
        const kept = answer.peek().of === key ? answer.peek() : { data: null, at: 0, of: null };
        if (!abort.signal.aborted) answer.value = { ...kept, ...fault };
      }
      isAsking = false;
      if (isOld && !abort.signal.aborted) void asks();
    };
    const stop = effect(() => {
      void news.value;
      void asks();
    });
    return () => {
      stop();
      abort.abort();
    };
  }, [key]);
  return answer.value;
}

const SETTLE_MS = 700;
/** Also without news, so that a page that missed some is right again. */
const EVERY_MS = 30_000;
const listeners = new Set();

/** Hears of each event. @param {(event: any) => void} listener */
export function onEvent(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

let waiting = 0;
/** What happens at once is read once. */
function soon() {
  if (!waiting) waiting = setTimeout(() => ((waiting = 0), (happened.value += 1)), SETTLE_MS);
}

/** After a refusal a browser does not try again by itself. */
const REFUSED_MS = 10_000;

function hear() {
  const source = new EventSource("/api/v1/live");
  source.onopen = () => (isLive.value = true);
  source.onerror = () => {
    if (isLive.peek()) lostAt.value = Date.now();
    isLive.value = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(hear, REFUSED_MS);
  };
  source.addEventListener("missed", soon);
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    listeners.forEach((listener) => listener(event));
    soon();
  };
}

export function listen() {
  hear();
  setInterval(soon, EVERY_MS);
  document.addEventListener("visibilitychange", () => document.hidden || soon());
}
