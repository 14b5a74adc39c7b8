// Spend over time, stacked by a dimension, against the period before.
import { html, useEffect, useRef, useState } from "../lib.js";
import { question, useAnswer } from "../api.js";
import { day, startOf } from "../calendar.js";
import { usd } from "../format.js";
import { FILTERS, asked, before, narrow, parameters, range, zone } from "../state.js";
import { grain, slots, stacks, sums } from "../slots.js";
import { Bars } from "./chart.js";
import { label } from "./names.js";
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
  // A server that knows no hours says so of `by`; days will do then.
  const [isCoarse, setCoarse] = useState(false);
  const fits = from === null ? "daily" : grain(from, to);
  const by = isCoarse && (fits === "hourly" || fits === "quarter_hourly") ? "daily" : fits;
  const ask = { ...asked.value, by, breakdown: dimension };
  const answer = useAnswer(from === null ? null : "report", ask);
  const old = useAnswer(past ? "report" : null, { ...parameters(past ?? range.value), by });
  useEffect(() => {
    if (answer.error?.startsWith("by: ")) setCoarse(true);
  }, [answer.error]);
  // While another grain is being read, what is shown stays.
  const drawn = useRef(/** @type {any} */ (null));
  if (from !== null && answer.data && answer.of === question("report", ask)) {
    const bars = slots(from, to, by, zone.value);
    const series = stacks(answer.data.rows, by, dimension, bars, zone.value, (name) => label(dimension, name));
    const compared = past && past.from !== null && old.data ? sums(old.data.rows, by, slots(past.from, past.to, by, zone.value), zone.value) : null;
    drawn.current = { grain: by, slots: bars, series, before: compared };
  }
  const pick = FILTERS.includes(dimension) ? (/** @type {string} */ name) => narrow(dimension, name) : undefined;
  return shown({ ...answer, data: drawn.current }, "spend over time", (chart) => html`<${Bars} title=${`Spend by ${dimension.replace("_", " ")}`} ...${chart} format=${usd} onPick=${pick} onRange=${zoom} onOut=${zoomOut} />`, 9);
}
