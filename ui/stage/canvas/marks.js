// @ts-check
// How strong the frames around a step's changes are: the same in the studio, beside it, and on a replay page.

export const MARK_MS = 1000;
const FADED = 1.6; // full for three eighths of the time, then ever paler

/**
 * From 0 to 1. Every step keeps its frames for as long as it is looked at, however it was reached; only the last one,
 * which is the picture itself, lets them go.
 * @param {{last: number, state: string}} run @param {number} k the step on screen
 * @param {number | null} age milliseconds since it came up in motion, null for no motion
 */
export function strength(run, k, age) {
  if (k < run.last || run.state === "running") return 1;
  return age === null ? 0 : Math.max(0, Math.min(1, FADED * (1 - age / MARK_MS)));
}
