// @ts-check
// What one step changed its mind about, with the numbers of both passes: how sure the model was of the old token a step
// before, and of the new one now.

import { percent } from "./words.js";

/** @typedef {import("./run.js").Run} Run */
/**
 * before and after are probabilities; before is null where no pass had judged the old token.
 * @typedef {{at: number, from: number, to: number, before: number | null, after: number}} Told
 */

/** @param {Run} run @param {number} k @returns {Told[]} */
export function editsAt(run, k) {
  const [frame, seen] = [run.frames[k], run.frames[k - 1]];
  return frame.edited.map((edit) => ({
    ...edit,
    before: seen && seen.phase !== "start" ? seen.p[edit.at] / 65535 : null,
    after: frame.p[edit.at] / 65535,
  }));
}

/** The edit of one cell at one step, or null. @param {Run} run @param {number} k @param {number} cell */
export function editOf(run, k, cell) {
  return editsAt(run, k).find((edit) => edit.at === cell) ?? null;
}

/**
 * "was #1894 (99 % a step before), now #7303 (64 %)": chances of two passes, so they may add up to more than all.
 * @param {Told} edit @param {number} maskId
 */
export function toldEdit({ from, to, before, after }, maskId) {
  // the sign stays with its figure
  const share = (/** @type {number} */ p) => percent(p).replaceAll(" ", "\u00a0");
  const was = before === null ? `was #${from}` : `was #${from} (${share(before)} a step before)`;
  return to === maskId ? `${was}, now masked again` : `${was}, now #${to} (${share(after)})`;
}

/** The steps that edited anything, with how much. @param {Run} run @returns {{k: number, edits: number}[]} */
export function editing(run) {
  return run.frames.map((frame, k) => ({ k, edits: frame.edited.length })).filter(({ edits }) => edits > 0);
}
