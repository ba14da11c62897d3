// @ts-check
// How two runs on the same noise come apart, counted and in words. It knows no element of the page.

import { count } from "../stage/run/words.js";

/** @typedef {import("../stage/run/run.js").Run} Run */
/** @typedef {{other: number, alone: number}} Apart cells set in both to different tokens, and set in one of the two only */

const COLOURS = "red blue green yellow orange purple pink teal brown black white grey gray".split(" ");

/**
 * The runs threw the same dice: of one grid and one seed, neither from a picture that was there.
 * @param {Run | null} run @param {Run | null} beside
 */
export function twins(run, beside) {
  return Boolean(run && beside) && run.prompt !== beside.prompt && run.seed === beside.seed && run.cells === beside.cells
    && [run, beside].every((one) => one.kind === "generate" && one.maskId === run.maskId);
}

/** After a step; a run that is over stays as it ended. @param {Run} run @param {Run} beside @param {number} k @returns {Apart} */
export function apartAt(run, beside, k) {
  const [a, b] = [run, beside].map((one) => one.frames[Math.min(k, one.last)].tokens);
  let [other, alone] = [0, 0];
  for (let cell = 0; cell < a.length; cell++) {
    if (a[cell] === b[cell]) continue;
    if (a[cell] === run.maskId || b[cell] === run.maskId) alone++;
    else other++;
  }
  return { other, alone };
}

/** All steps, the start among them. @param {Run} run @param {Run} beside @returns {Apart[]} */
export function course(run, beside) {
  const last = Math.max(run.last, beside.last);
  return Array.from({ length: last + 1 }, (_, k) => apartAt(run, beside, k));
}

/**
 * The words in which two prompts differ: ["red", "blue"], each with those around it left out.
 * @param {string} one @param {string} other
 */
export function difference(one, other) {
  const [a, b] = [one, other].map((text) => text.trim().split(/\s+/));
  let [from, to] = [0, 0];
  while (from < Math.min(a.length, b.length) && a[from].toLowerCase() === b[from].toLowerCase()) from++;
  const end = (/** @type {string[]} */ words, /** @type {number} */ i) => words[words.length - 1 - i].toLowerCase();
  while (to < Math.min(a.length, b.length) - from && end(a, to) === end(b, to)) to++;
  return [a, b].map((words) => words.slice(from, words.length - to).join(" "));
}

/** The course in words, and what there is at step k of it. @param {Run} run @param {Run} beside @param {number} k */
export function told(run, beside, k) {
  const all = course(run, beside);
  const total = ({ other, alone } = { other: 0, alone: 0 }) => other + alone;
  const first = all.findIndex((one) => total(one) > 0);
  const [mine, its] = difference(run.prompt, beside.prompt);
  const words = mine && its ? `“${its}” for “${mine}”`
    : its ? `With “${its}”` : mine ? `Without “${mine}”` : "Spelt otherwise";
  if (first < 0) return `${words}: all ${run.cells} tokens are the same at every step.`;
  const end = total(all[all.length - 1]);
  const whole = end ? `${end} of ${count(run.cells, "token")} ${end === 1 ? "differs" : "differ"} at the end`
    : "both end with the same tokens";
  const { other, alone } = all[Math.min(k, all.length - 1)];
  const only = alone ? `${count(alone, "cell")} set in one of the two only` : "";
  const here = !other && !alone ? "no difference yet"
    : [other ? `${count(other, "cell")} with different tokens` : "", only].filter(Boolean).join(", ");
  const now = k < all.length - 1 ? ` Here, after step ${k}: ${here}.` : "";
  return `${words}: they part at step ${first}, and ${whole}.${now}`;
}

/** Another prompt to begin with: the first colour in another one; "" where there is none. @param {string} prompt */
export function otherColour(prompt) {
  const found = prompt.match(new RegExp(`\\b(${COLOURS.join("|")})\\b`, "i"));
  if (!found) return "";
  const other = /^(blue|teal)$/i.test(found[0]) ? "red" : "blue";
  const at = found.index ?? 0;
  return `${prompt.slice(0, at)}${other}${prompt.slice(at + found[0].length)}`;
}
