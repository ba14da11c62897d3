// @ts-check
// The steps of a game so far, as buttons.

import { make } from "../../layout/dom.js";
import { count } from "../../stage/run/words.js";
import { Choice } from "./choice.js";

/**
 * Each leads back to its step.
 * @param {import("./saved.js").Turn[]} turns @param {number} now @param {(k: number) => void} back @returns {HTMLElement[]}
 */
export function stepList(turns, now, back) {
  const buttons = turns.map((turn, k) => {
    const set = turn.told.grid[0] * turn.told.grid[1] - new Choice(turn.told).masked;
    const label = `Back to step ${k}, with ${count(set, "cell")} set`;
    const button = make("button", { textContent: String(k), title: label, "aria-label": label, onclick: () => back(k) });
    if (k === now) button.setAttribute("aria-current", "step");
    return make("li", {}, button);
  });
  return buttons.filter(Boolean);
}
