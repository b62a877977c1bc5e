// The theme: the system's, or the one a person chose; and its colours for the charts.

import { remember } from "./storage.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;

const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

/** Calls `onTheme` with the colours of the theme, now and whenever it changes. */
export function startAppearance(button, onTheme) {
  const show = () => {
    button.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
    onTheme(theme());
  };
  button.onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember("forebay.theme", root.dataset.theme);
    show();
  };
  dark.addEventListener("change", show);
  show();
}

function theme() {
  const probe = document.createElement("i");
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const colours = {
    font: getComputedStyle(document.body).fontFamily,
    muted: colour("--muted"),
    line: colour("--line"),
    grid: colour("--hair"),
    warn: colour("--warn"),
    bad: colour("--bad"),
    palette: [1, 2, 3, 4, 5, 6].map((number) => colour(`--trace-${number}`)),
    rampSaturation: isDark() ? 48 : 52,
    rampLightness: isDark() ? 62 : 42,
  };
  probe.remove();
  return colours;
}
