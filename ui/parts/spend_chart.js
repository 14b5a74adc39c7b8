// Spend over time, stacked by a dimension, against the period before.
import { html, useMemo, useRef } from "../lib.js";
import { question, useAnswer } from "../api.js";
import { day, startOf } from "../calendar.js";
import { cost } from "../format.js";
import { FILTERS, asked, before, narrow, parameters, range, zone } from "../state.js";
import { grain, slots, stacks, sums } from "../slots.js";
import { Bars } from "./chart.js";
import { labels } from "./names.js";
import { zoom, zoomOut } from "./picker.js";
import { shown } from "./states.js";

/** Where all time begins: with the first week that has data. */
function useBeginning() {
  const { from, until } = range.value;
  const { data } = useAnswer(from === null ? "report" : null, { ...parameters({ since: null, until }), by: "weekly" });
  if (from !== null) return from;
  const first = data?.rows.find((/** @type {any} */ row) => row.week)?.week;
  return data ? (first ? startOf(first, zone.value) : startOf(day(Date.now(), zone.value), zone.value)) : null;
}

/** @param {{ dimension: string }} properties */
export function SpendChart({ dimension }) {
  const from = useBeginning();
  const { to } = range.value;
  const past = before.value;
  const by = from === null ? "daily" : grain(from, to);
  const ask = { ...asked.value, by, breakdown: dimension };
  const answer = useAnswer(from === null ? null : "report", ask);
  const old = useAnswer(past ? "report" : null, { ...parameters(past ?? range.value), by });
  const isAnswered = from !== null && answer.data && answer.of === question("report", ask);
  const drawn = useRef(/** @type {any} */ (null));
  drawn.current = useMemo(() => {
    // While another question is asked, what is shown stays.
    if (!isAnswered) return drawn.current;
    const bars = slots(from, to, by, zone.value);
    const names = answer.data.rows.flatMap((/** @type {any} */ row) => (row.breakdown ?? []).map((/** @type {any} */ part) => part[dimension]));
    const pastBars = past && past.from !== null && old.data ? slots(past.from, past.to, by, zone.value) : null;
    const compared = pastBars && sums(old.data.rows, by, pastBars);
    const beforeUnpriced = pastBars && sums(old.data.rows, by, pastBars, (row) => row.unpriced_requests);
    return { grain: by, slots: bars, series: stacks(answer.data.rows, by, dimension, bars, labels(dimension, names)), before: compared, beforeUnpriced };
  }, [isAnswered, answer.data, old.data, from, to, by, zone.value]);
  const pick = FILTERS.includes(dimension) ? (/** @type {string} */ name) => narrow(dimension, name) : undefined;
  // Of a question that failed nothing is drawn.
  const data = answer.error && !isAnswered ? null : drawn.current;
  return shown({ ...answer, data }, "spend over time", (chart) => html`<${Bars} title=${`Spend by ${dimension.replace("_", " ")}`} ...${chart} format=${cost} onPick=${pick} onRange=${zoom} onOut=${zoomOut} />`, 11);
}
