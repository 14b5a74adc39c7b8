// The page: navigation, what range and filters are looked at, and the view.
import { html, render, useEffect } from "./lib.js";
import { isLive, listen, lostAt } from "./api.js";
import { FILTERS, address, ask, filters, place, zone } from "./state.js";
import { clock } from "./format.js";
import { Icon } from "./parts/icons.js";
import { label } from "./parts/names.js";
import { Picker } from "./parts/picker.js";
import { Help, shortcuts } from "./parts/keyboard.js";
import { Overview } from "./views/overview.js";
import { Sessions } from "./views/sessions.js";
import { Session } from "./views/session.js";
import { Models } from "./views/models.js";
import { People, Projects } from "./views/projects.js";
import { Reconcile } from "./views/reconcile.js";
import { Settings } from "./views/settings.js";
import { Tools } from "./views/tools.js";

/** Views by the path's first part. @type {[path: string, name: string, icon: string, view: any, inner?: any][]} */
const VIEWS = [
  ["", "Overview", "overview", Overview],
  ["sessions", "Sessions", "sessions", Sessions, Session],
  ["tools", "Tools", "tools", Tools],
  ["models", "Models", "models", Models],
  ["projects", "Projects", "projects", Projects],
  ["people", "People", "people", People],
  ["reconcile", "Reconcile", "reconcile", Reconcile],
  ["settings", "Settings", "settings", Settings],
];

function Navigation() {
  return html`<nav aria-label="Views"><a class="brand" href="/"><span aria-hidden="true">◉</span> Ducat</a>
    ${VIEWS.map(([path, name, icon]) => html`<a key=${path} href=${address(path)} aria-current=${place.value.view === path ? "page" : null}><${Icon} name=${icon} /><span>${name}</span></a>`)}
  </nav>`;
}

/** A chip for each filter; it goes with a click. */
function Chips() {
  if (filters.value.length === 0) return null;
  return html`<ul class="chips" aria-label="Filters">${filters.value.map(({ name, value }) => html`<li key=${name}>
    <button type="button" title=${value} onClick=${() => ask({ [name]: null })}><span class="muted">${name}</span> <bdi>${label(name, value) || "unattributed"}</bdi> <${Icon} name="close" /><span class="hidden">remove</span></button>
  </li>`)}${filters.value.length > 1 && html`<li><button type="button" onClick=${() => ask(Object.fromEntries(FILTERS.map((name) => [name, null])))}>clear</button></li>`}</ul>`;
}

function Page() {
  const { view, id } = place.value;
  const found = VIEWS.find(([path]) => path === view);
  useEffect(() => {
    document.title = found && found[0] !== "" ? `${found[1]} · Ducat` : "Ducat";
  }, [view]);
  const View = found && (id ? found[4] : found[3]);
  return html`
    <${Navigation} />
    <div class="body">
      <header class="bar">
        <h1>${found?.[1] ?? "Not found"}</h1>
        <${Chips} />
        ${!isLive.value && html`<span class="warn" role="status">not connected since ${clock(lostAt.value, zone.value, true)}</span>`}
        <${Picker} />
      </header>
      <main>${View ? html`<${View} key=${view} id=${id} />` : html`<p class="empty">There is nothing at this address. <a href="/">To the overview</a></p>`}</main>
    </div>
    <${Help} />`;
}

listen();
shortcuts();
document.documentElement.dataset.zone = zone.value;
render(html`<${Page} />`, document.body);
