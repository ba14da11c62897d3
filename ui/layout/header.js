// @ts-check
// The header: the way past it, which model is open, the sheet of keys, and the switch between light and dark.

import { openKeys } from "../hands/key_sheet.js";
import { find } from "./dom.js";
import { described, facts } from "./facts.js";
import { theme } from "./theme.js";

/** Says which model is open. @param {HTMLElement} element */
export function whose(element) {
  const [words, size] = described(facts());
  Object.assign(find(".cz-model, .cz-opened", element), { textContent: words, title: size });
}

/** @param {HTMLElement} element */
export function header(element) {
  whose(element);
  theme(element);
  find(".cz-help", element).addEventListener("click", openKeys);
  find(".cz-skip", element).addEventListener("click", (/** @type {Event} */ event) => {
    event.preventDefault(); // an address of its own would push a link to a run out of it
    const canvas = find(".cz-canvas");
    canvas.scrollIntoView({ block: "nearest" });
    canvas.focus();
  });
}
