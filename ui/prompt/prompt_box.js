// @ts-check
// Writes into the prompt box as a hand would: Gradio hears of it, and the caret stands after the new word.

import { find } from "../layout/dom.js";

export const BOX = "#prompt textarea";

export const box = () => find(BOX);

/** @param {string} text @param {number} caret */
export function write(text, caret = text.length) {
  const field = box();
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.setSelectionRange(caret, caret);
}
