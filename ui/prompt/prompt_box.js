// @ts-check
// Writes into the prompt box as a hand would: Gradio hears of it, and the caret stands after the new word.

import { find, whenThere } from "../layout/dom.js";

const PAUSE_MS = 350;
const LOOK_MS = 500;
export const BOX = "#prompt textarea";

export const box = () => find(BOX);

/** @param {string} text @param {number} caret */
export function write(text, caret = text.length) {
  const field = box();
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.setSelectionRange(caret, caret);
}

/**
 * Calls back with the prompt, when somebody who types it pauses; a chip or a link fills it without typing.
 * @param {(prompt: string) => void} call
 */
export function whenTyped(call) {
  let timer = 0;
  let seen = "";
  const later = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => call(seen = box().value), PAUSE_MS);
  };
  whenThere(BOX, (field) => {
    field.addEventListener("input", later);
    seen = field.value;
    later();
    setInterval(() => {
      if (field.value === seen) return;
      seen = field.value;
      later();
    }, LOOK_MS);
  });
}
