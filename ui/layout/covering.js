// @ts-check
// Sentences that come under the prompt lie over what stands there, so that nothing moves as they come and go. What they
// lie over is not seen while they do; what is beside or below them is, so that no gap is left.

import { findAll } from "./dom.js";

const BENEATH = "#chips .chip, .cz-note, .cz-prompt-hint";
/** @type {HTMLElement[]} */
const lines = [];

/** @param {DOMRect} a @param {DOMRect} b */
const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

function look() {
  // in the order of the page: a hint, which may itself be under a sentence, comes first
  for (const one of findAll(BENEATH)) {
    const over = lines.filter((line) => line !== one && line.textContent && !line.classList.contains("is-under"));
    const own = one.getBoundingClientRect();
    one.classList.toggle("is-under", over.some((line) => meet(own, line.getBoundingClientRect())));
  }
}

/**
 * Watches a line that lies over others; what comes back looks at once.
 * @param {HTMLElement} line
 */
export function covering(line) {
  lines.push(line);
  new ResizeObserver(look).observe(line);
  return look;
}
