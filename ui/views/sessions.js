// Which sessions cost what.
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { ask, asked, filters, place } from "../state.js";
import { whole } from "../format.js";
import { usePages } from "../session_pages.js";
import { COLUMNS, chosenColumns, compact, keepColumns } from "../parts/session_columns.js";
import { SessionFilters, USUAL, asksOfSessions } from "../parts/session_filters.js";
import { Fault, Loading } from "../parts/states.js";
import { VirtualTable } from "../parts/virtual_table.js";

const PHONE = matchMedia("(max-width: 640px)");
/** Of a row, in pixels: one line, or two on a phone. */
const [ROW, PHONE_ROW] = [32, 56];
/** Where one was in which list, for who comes back to it. */
let left = { of: "", scrolled: { current: 0 } };

function usePhone() {
  const [isPhone, setPhone] = useState(PHONE.matches);
  useEffect(() => {
    const heard = () => setPhone(PHONE.matches);
    PHONE.addEventListener("change", heard);
    return () => PHONE.removeEventListener("change", heard);
  }, []);
  return isPhone;
}

/** Why there is nothing. @param {{ isNarrowed: boolean }} properties */
function Nothing({ isNarrowed }) {
  return html`<p class="empty">${isNarrowed ? "No session of this time is like that." : html`No session in this time. <button type="button" class="link" onClick=${() => ask({ range: "all", since: null, until: null })}>Look at all time</button>`}</p>`;
}

export function Sessions() {
  const isPhone = usePhone();
  const [chosen, setChosen] = useState(chosenColumns);
  const { query } = place.value;
  const sorted = { name: query.get("sort") ?? USUAL.name, order: query.get("order") ?? USUAL.order };
  const own = asksOfSessions();
  const parameters = { ...asked.value, ...own, sort: sorted.name, order: sorted.order };
  const pages = usePages("sessions", parameters, sorted.order === "desc" && ["last_at", "started_at"].includes(sorted.name));
  const list = JSON.stringify(parameters);
  if (left.of !== list) left = { of: list, scrolled: { current: 0 } };
  const isRead = useRef(() => false);
  pages.isRead = () => isRead.current();
  const see = useRef({ pages, of: (/** @type {number} */ first, /** @type {number} */ last) => pages.see(first, last) });
  if (see.current.pages !== pages) see.current = { pages, of: (first, last) => pages.see(first, last) };
  const { total, totals, fresh, error, isLoading, at } = pages.list.value;
  const columns = useMemo(() => COLUMNS.filter(({ name }) => chosen.includes(name)), [chosen]);
  const sort = (/** @type {import("../parts/virtual_table.js").Column} */ { sort, isText }) => {
    // Names begin with A, figures with the largest.
    const usual = isText ? "asc" : "desc";
    const order = sort !== sorted.name ? usual : sorted.order === "asc" ? "desc" : "asc";
    ask({ sort: sort === USUAL.name ? null : sort ?? null, order: order === USUAL.order ? null : order }, true);
  };
  const release = () => {
    document.querySelector(".virtual")?.scrollTo(0, 0);
    pages.release();
  };
  const csv = `/api/v1/sessions?${new URLSearchParams({ ...parameters, format: "csv" })}`;
  return html`<section class="card sessions" aria-busy=${isLoading && total === null ? "true" : null}>
    <${SessionFilters} chosen=${chosen} onChoose=${(/** @type {string[]} */ names) => (setChosen(names), keepColumns(names))} href=${csv} />
    ${error && html`<${Fault} what="sessions" error=${error} at=${at} />`}
    ${fresh > 0 && html`<p class="news"><button type="button" class="chip" onClick=${release}>↑ ${whole(fresh)} new</button></p>`}
    ${total === null ? !error && html`<${Loading} lines=${12} />` : total === 0 ? html`<${Nothing} isNarrowed=${Object.keys(own).length + filters.value.length > 0} />`
    : html`<${VirtualTable} label="Sessions" columns=${columns} count=${total} row=${(/** @type {number} */ index) => pages.row(index)} keyOf=${(/** @type {any} */ row) => row.session} height=${isPhone ? PHONE_ROW : ROW}
        compact=${isPhone ? compact : undefined} sorted=${sorted} onSort=${sort} onSee=${see.current.of} isRead=${isRead} scrolled=${left.scrolled} totals=${totals} />`}
  </section>`;
}
