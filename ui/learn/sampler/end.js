// @ts-check
// What a run that was decided by hand is held against: the sampler's own of the same form, and what the two have in common.

import { count } from "../../stage/run/words.js";
import { differing } from "./choice.js";

/** @typedef {import("../../stage/run/run.js").Run} Run */

/** What there is to say of a run beside the sampler's own. @param {Run} made @param {Run} own */
export function verdict(made, own) {
  const n = made.cells - differing(made.frames[made.last].tokens, own.frames[own.last].tokens);
  const [yours, its] = [made, own].map((run) => count(run.last, "step"));
  if (n === made.cells) return `All ${n} tokens are the sampler's own: in ${yours} you made its picture.`;
  const changes = made.frames.flatMap(({ edited }) => edited);
  const sent = changes.filter(({ to }) => to === made.maskId).length;
  const back = sent ? `, sending ${count(sent, "cell")} back` : "";
  const edits = count(changes.length - sent, "edit");
  const itsEdits = count(own.frames[own.last].editsSoFar, "edit");
  return `${n} of ${made.cells} tokens are the sampler's own. You took ${yours} and ${edits}${back}; it took ${its} and ${itsEdits}.`;
}

/** A run that this form would make. @param {Run} run @param {Record<string, any>} form */
export function same(run, form) {
  const fixed = run.frames[run.base]?.locked.includes(1);
  if (fixed || run.prompt !== form.prompt || run.seed !== form.seed) return false;
  return Object.entries(run.form).every(([name, value]) => JSON.stringify(value) === JSON.stringify(form[name]));
}
