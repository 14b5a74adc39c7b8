// What the client will delete of its transcripts, and whether the ledger has it.
import { element } from "./dom.js";

const WEEK_MS = 7 * 24 * 3600 * 1000;

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [value, unit] = [count, 0];
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value < 9.95 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A notice for each of the client's folders of which something goes within a week. */
export function notices(folders, now) {
  const going = folders.filter((folder) => folder.files > 0 && folder.next_deletion_at && new Date(folder.next_deletion_at) - now < WEEK_MS);
  return going.map((folder) => {
    const due = new Date(folder.next_deletion_at) <= now;
    const when = due ? "with its next session" : `from ${new Date(folder.next_deletion_at).toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" })}`;
    const what = `Claude Code deletes ${folder.files} transcript${folder.files === 1 ? "" : "s"} (${bytes(folder.bytes)}) ${when}: it keeps them ${folder.cleanup_period_days} days.`;
    const lost = folder.not_imported_files;
    const rest = lost === 0 ? " The ledger has read them and keeps what they told." : ` ${lost} of them ${lost === 1 ? "is" : "are"} not in the ledger.`;
    return element("p", { class: lost === 0 ? "notice" : "notice bad", title: folder.folder }, what, rest, " ",
      element("code", {}, "ducat setup claude-code --keep-transcripts 365"), " keeps them longer.");
  });
}
