// @ts-check
// What a visitor who decides is told: of a step, of a cell, of a way to choose.

import { percent, planned } from "../../stage/run/words.js";

/** @typedef {import("./choice.js").Choice} Choice */

export const RULES = {
  surest: "The surest first, with the sampler's own dice: this is what it does.",
  least: "What the sampler would set last comes first.",
  chance: "By dice alone, however sure the model is.",
  hand: "Tap stone to set it or not, tap a set cell to send it back. It begins with the surest.",
};

/**
 * "Step 7 of 12 + 2 polish"
 * @param {number} k @param {number} steps @param {string} phase @param {number} polish passes after the steps
 */
export function stepWords(k, steps, phase, polish) {
  if (phase === "polish") return k > steps ? `Step ${k}: polish pass ${k - steps} of ${Math.max(polish, k - steps)}` : `Step ${k}: polish`;
  return k <= steps ? `Step ${k} of ${planned(steps, polish)}` : `Step ${k}, beyond the ${steps}`;
}

/** Polish passes that a form asks for. @param {Record<string, any>} form */
export function polishOf({ editing, edit_mode: mode, polish }) {
  return editing && mode === "overwrite" ? Number(polish) || 0 : 0;
}

/** One line about a cell: what it holds or would hold, and what becomes of it. @param {Choice} choice @param {number} cell */
export function cellWords(choice, cell) {
  const p = percent(choice.p[cell] / 65535);
  const edit = choice.edits.find((one) => one.at === cell);
  const what = choice.isMasked(cell) ? `guess #${choice.drawn[cell]}, ${p}`
    : edit ? `#${edit.from}, ${p}; the model would rather have #${edit.to}` : `set to #${choice.tokens[cell]}, now ${p}`;
  return `${what}${!choice.isOn(cell) ? "" : choice.isMasked(cell) ? ", will be set" : ", goes back"}`;
}
