// @ts-check
// The header: which model is open, and the switch between light and dark.

import { find } from "./dom.js";
import { described, facts } from "./facts.js";
import { theme } from "./theme.js";

/** @param {HTMLElement} element */
export function header(element) {
  const [whose, size] = described(facts());
  Object.assign(find(".cz-model", element), { textContent: whose, title: size });
  theme(element);
}
