// Colours of the theme for what is drawn and not styled, and when they change.

/** @param {string} name of a custom property */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** @type {Set<() => void>} */
const listeners = new Set();

/** Hears of a change of the theme, the contrast, or that the page is being printed. @param {() => void} listener */
export function onColors(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function colorsChanged() {
  listeners.forEach((listener) => listener());
}

for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"]) matchMedia(query).addEventListener("change", colorsChanged);

// Paper is white.
const { dataset } = document.documentElement;
/** @type {string | undefined} */
let theme;
addEventListener("beforeprint", () => {
  theme = dataset.theme;
  dataset.theme = "light";
  colorsChanged();
});
addEventListener("afterprint", () => {
  if (theme) dataset.theme = theme;
  else delete dataset.theme;
  colorsChanged();
});
