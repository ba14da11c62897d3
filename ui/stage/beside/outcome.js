// @ts-check
// What came of a run, in one sentence with its numbers: against the run beside it, or against the tokens that it began
// with.

import { count } from "../run/words.js";

/** @typedef {import("../run/run.js").Run} Run */

/** The cells that hold different tokens. @param {ArrayLike<number>} a @param {ArrayLike<number>} b @returns {number[]} */
export function differing(a, b) {
  const out = [];
  for (let cell = 0; cell < a.length; cell++) if (a[cell] !== b[cell]) out.push(cell);
  return out;
}

/** The tokens of a run at a place on the timeline, which may be longer than it. @param {Run} run @param {number} position */
export const tokensAt = (run, position) => run.frames[Math.min(position, run.last)].tokens;

/** The cells that differ between two runs at a place on the timeline. @param {Run} run @param {Run} beside @param {number} position */
export function apart(run, beside, position) {
  return new Set(differing(tokensAt(run, position), tokensAt(beside, position)));
}

/** "13 edits; 41 of 256 tokens differ" @param {Run} run @param {Run} beside @param {number} position */
export function compared(run, beside, position) {
  if (run.cells !== beside.cells) return "";
  if ([run, beside].some((one) => one.state === "running")) return "carving the other one …";
  const end = differing(tokensAt(run, run.last), tokensAt(beside, beside.last)).length;
  const here = apart(run, beside, position).size;
  const now = position < Math.max(run.last, beside.last) ? `; ${here} at this step` : "";
  const differ = end ? `${end} of ${count(run.cells, "token")} ${end === 1 ? "differs" : "differ"} at the end${now}`
    : `both end with the same ${count(run.cells, "token")}${now && here ? `, ${here} differ at this step` : ""}`;
  const [edits, others] = [run, beside].map((one) => one.frames[one.last].editsSoFar);
  if (!edits && !others) return `No edits; ${differ}.`;
  return `${edits && others ? `${edits} and ${count(others, "edit")}` : count(edits || others, "edit")}; ${differ}.`;
}

/**
 * What a finished run did to the tokens that it was given; "" where it was given none.
 * @param {Run} run @param {Run | null} parent the run that it grew from, where this tab still has it
 */
export function outcome(run, parent) {
  if (run.state !== "done" || run.last <= run.base || !["heal", "repaint"].includes(run.kind)) return "";
  const [start, end] = [run.frames[run.base].tokens, run.frames[run.last].tokens];
  if (run.kind === "repaint") {
    const made = start.filter((token) => token === run.maskId).length;
    const others = differing(start, end).length - made;
    const rest = others ? `${others} of the others changed` : `the other ${run.cells - made} are as they were`;
    return `${count(made, "token")} made anew; ${rest}.`;
  }
  const before = parent && run.parent ? parent.frames[run.parent[1] - parent.offset]?.tokens : null;
  const broken = before ? differing(before, start) : [];
  const touched = new Set(broken);
  const others = differing(start, end).filter((cell) => !touched.has(cell)).length;
  const besides = others ? `${count(others, "other")} changed` : "no other changed";
  if (!broken.length) {
    return others ? `${count(others, "token")} changed that the model no longer believed.`
      : "The model believes every token: nothing changed.";
  }
  const back = broken.filter((cell) => end[cell] === before[cell]).length;
  return `${back} of ${broken.length} broken ${broken.length === 1 ? "token" : "tokens"} came back exactly; ${besides}.`;
}
