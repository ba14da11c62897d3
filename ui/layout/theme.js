// @ts-check
// Light or dark: the system's choice until the visitor makes one, which this browser then remembers.

import { find, isDark } from "./dom.js";

const KEPT = "chisel-theme";

/** @param {HTMLElement} element */
export function theme(element) {
  const show = (/** @type {boolean} */ dark) => document.body.classList.toggle("dark", dark);
  const saved = localStorage.getItem(KEPT);
  if (saved) show(saved === "dark");
  find(".cz-theme", element).addEventListener("click", () => {
    const dark = !isDark();
    show(dark);
    localStorage.setItem(KEPT, dark ? "dark" : "light");
  });
}
