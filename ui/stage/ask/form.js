// @ts-check
// The form goes along with the run on the canvas: prompt, seed and settings come back with the picture, by undo and redo,
// from the shelf, from a file, after a reload. Gradio knows its fields only by its own events, so a button that nobody
// sees is pressed, whose event takes the fields' values through filled().

import { find } from "../../layout/dom.js";
import { facts } from "../../layout/facts.js";

/** @typedef {import("./ask.js").Values} Values */
/** @typedef {{kind: string, prompt: string, seed: number, form?: Values, base?: number}} Made a run, or its message */

const AGAIN_MS = 200; // Gradio listens a moment after it has put its button up
const MOST = 50;

/**
 * What the form showed for a run. The steps of a branch are counted from the start, as its form has them.
 * @param {Values} initial what the form starts with @param {Made} run @returns {Values}
 */
export function shownFor(initial, run) {
  /** @type {Values} */
  const values = { ...initial, ...run.form, prompt: run.prompt, seed: run.seed };
  if (run.kind === "branch") values.steps += run.base ?? 0;
  return values;
}

/**
 * The values with those of the next run in every field that still shows what the last one had; what the visitor has
 * changed since stays.
 * @param {Values} shown @param {Values} last @param {Values} next @returns {Values}
 */
export function followed(shown, last, next) {
  /** @type {Values} */
  const out = {};
  for (const name of Object.keys(shown)) out[name] = shown[name] === last[name] && name in next ? next[name] : shown[name];
  return out;
}

export class Form {
  /** @param {import("../stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** @type {((shown: Values) => Values) | null} what is to be done to the values */
    this.wanted = null;
    // a picture brought from outside was made by no form
    const made = (/** @type {Made} */ run) => run && run.kind !== "upload";
    stage.on("follow", (next) => {
      const last = stage.run;
      if (!made(next) || (last && !made(last))) return;
      const { form } = facts();
      this.want((shown) => followed(shown, last ? shownFor(form, last) : shown, shownFor(form, next)));
    });
    stage.on("fill", ({ run, prompt = null }) => {
      if (!made(run)) return;
      this.want((shown) => ({ ...shown, ...shownFor(facts().form, run), ...(prompt === null ? {} : { prompt }) }));
    });
  }

  /** @param {(shown: Values) => Values} change */
  want(change) {
    const before = this.wanted;
    this.wanted = before ? (shown) => change(before(shown)) : change;
    if (!before) this.press(MOST);
  }

  /** @param {number} left */
  press(left) {
    if (!this.wanted || !left) return;
    find("#fill")?.click();
    setTimeout(() => this.press(left - 1), AGAIN_MS);
  }

  /** The values of the form's fields, in their order, as they should be. @param {any[]} values */
  filled(values) {
    const names = Object.keys(facts().form);
    const change = this.wanted;
    this.wanted = null;
    if (!change) return values;
    const out = change(Object.fromEntries(names.map((name, i) => [name, values[i]])));
    return names.map((name) => out[name]);
  }
}
