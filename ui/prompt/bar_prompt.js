// @ts-check
// The prompt once more, in the bar under the thumb: on a phone the form's own lies far below the picture.

import { find } from "../layout/dom.js";
import { box, whenTyped, write } from "./prompt_box.js";

/** @param {HTMLElement} element the bar @param {(name: string) => void} press a button of the hands by its name */
export function barPrompt(element, press) {
  const field = find(".cz-bar-prompt input", element);
  if (!field) return;
  const copy = () => { if (document.activeElement !== field && box()) field.value = box().value; };
  field.addEventListener("input", () => write(field.value));
  field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    field.blur();
    press("repaint");
  });
  document.addEventListener("input", copy);
  whenTyped(copy);
}
