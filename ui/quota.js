// Gauges of a plan's quota: the share used, when it resets, and whether it lasts at the present pace.
import { element } from "./dom.js";

/** `16:40`, with the day when that is not today or soon. */
function clock(time, now) {
  const at = new Date(time);
  const soon = at - now < 12 * 3600 * 1000 || at.toDateString() === now.toDateString();
  return at.toLocaleString("en-GB", { hour: "2-digit", minute: "2-digit", ...(soon ? {} : { weekday: "short" }) });
}

/** Whether it lasts, in words. */
function outlook(quota, now) {
  const resets = clock(quota.resets_at, now);
  if (quota.used_percent >= 100) return `used up, resets ${resets}`;
  return quota.lasts ? `lasts to ${resets}` : `out at ${clock(quota.used_up_at, now)}, resets ${resets}`;
}

export function gauge(quota, now) {
  const level = !quota.lasts || quota.used_percent >= 80 ? "bad" : quota.used_percent >= 50 ? "warn" : "good";
  const percent = `${Math.round(quota.used_percent)} %`;
  const what = [quota.window, quota.limit, "quota"].filter(Boolean).join(" ");
  return element("div", { class: `tile quota ${level}`, title: `told ${new Date(quota.told_at).toLocaleString()}` },
    element("h2", {}, `${what} · ${quota.agent}`),
    element("p", { class: "figure" }, percent),
    element("meter", { min: 0, max: 100, value: Math.min(100, quota.used_percent), "aria-label": `${what} used, ${percent}` }),
    element("p", { class: "note" }, outlook(quota, now)));
}
