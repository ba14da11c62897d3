// @ts-check
// What a run that was decided by hand is held against: the sampler's own of the same form, and what the two have in common.

import { find } from "../../layout/dom.js";
import { Painter } from "../../stage/canvas/paint.js";
import { count } from "../../stage/run/words.js";
import { differing } from "./choice.js";

/** @typedef {import("../../stage/run/run.js").Run} Run */

/** The two runs, large and in step with the timeline of the stage; the cells that differ are outlined. */
export class EndPair {
  /** @param {import("../../stage/stage.js").Stage} stage @param {HTMLElement} element */
  constructor(stage, element) {
    this.stage = stage;
    this.element = element;
    /** @type {[Run, Run] | null} */
    this.runs = null;
    this.painters = ["yours", "own"].map((name) => new Painter(find(`[data-end=${name}]`, element)));
    this.request = 0;
    for (const name of ["change", "draw", "chapter"]) stage.on(name, () => this.wanted());
    new ResizeObserver(() => this.wanted()).observe(element);
  }

  /** @param {[Run, Run] | null} runs */
  show(runs) {
    this.runs = runs;
    this.element.hidden = !runs;
    this.wanted();
  }

  wanted() {
    if (!this.runs || this.request || !this.element.offsetParent) return;
    this.request = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.request = 0;
    if (!this.runs) return;
    const { position, selected } = this.stage;
    const [a, b] = this.runs.map((run) => run.frames[Math.min(position, run.last)]);
    const marked = [...a.tokens.keys()].filter((cell) => a.tokens[cell] !== b.tokens[cell]);
    this.painters.forEach((painter, i) => {
      const [run, frame] = i ? [this.runs[1], b] : [this.runs[0], a];
      this.stage.want(run, frame.k);
      painter.draw({
        run, k: run.frames.indexOf(frame), grid: run, overlay: "picture", selected, hover: -1, since: null, marks: 0,
        tokens: frame.tokens, draft: null, changed: new Set(), locks: null, marked, differ: null,
      });
    });
    this.element.dataset.differ = String(marked.length);
  }
}

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
