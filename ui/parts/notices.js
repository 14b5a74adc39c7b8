// What is to be acted on.
import { html } from "../lib.js";
import { useAnswer } from "../api.js";
import { bytes } from "../format.js";
import { now, zone } from "../state.js";

const WEEK_MS = 7 * 86_400_000;

/** A notice for a client's folder of which something goes within a week. @param {{ folder: any }} properties */
function Going({ folder }) {
  const due = Date.parse(folder.next_deletion_at);
  const when = due <= now.value ? "with its next session" : `from ${new Date(due).toLocaleDateString("en-GB", { timeZone: zone.value, weekday: "short", day: "numeric", month: "short" })}`;
  const lost = folder.not_imported_files;
  return html`<p class=${lost === 0 ? "notice" : "notice bad"} title=${folder.folder}>
    Claude Code deletes ${folder.files} transcript${folder.files === 1 ? "" : "s"} (${bytes(folder.bytes)}) ${when}: it keeps them ${folder.cleanup_period_days} days.
    ${lost === 0 ? "The ledger has read them and keeps what they told." : `${lost} of them ${lost === 1 ? "is" : "are"} not in the ledger.`}${" "}
    <code>ducat setup claude-code --keep-transcripts 365</code> keeps them longer.</p>`;
}

export function Notices() {
  const { data } = useAnswer("history");
  const going = (data?.rows ?? []).filter((/** @type {any} */ folder) => folder.files > 0 && folder.next_deletion_at && Date.parse(folder.next_deletion_at) - now.value < WEEK_MS);
  return going.map((/** @type {any} */ folder) => html`<${Going} key=${folder.folder} folder=${folder} />`);
}
