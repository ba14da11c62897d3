// @ts-check
// The panel while no cell is chosen: what the step on screen changed its mind about, edit by edit, and which other steps
// did so.

import { find, make } from "../layout/dom.js";
import { editing, editsAt, toldEdit } from "../stage/run/edits.js";
import { capital, count, place } from "../stage/run/words.js";
import { beforeAndAfter } from "./crop.js";

/** @typedef {import("../stage/run/run.js").Run} Run */

const SHOWN = 24; // edits told one by one
const REST_MS = 60; // who scrubs wants the picture first

export class Steps {
  /**
   * @param {import("../stage/stage.js").Stage} stage @param {HTMLElement} root
   * @param {{slab: HTMLCanvasElement}} painter whose stone stands for masked cells
   */
  constructor(stage, root, painter) {
    this.stage = stage;
    this.root = root;
    this.painter = painter;
    this.key = "";
    this.timer = 0;
  }

  /** @param {boolean} on whether no cell is chosen */
  show(on) {
    const { run, shown } = this.stage;
    this.root.hidden = !on;
    clearTimeout(this.timer);
    if (!on) return;
    const seen = [shown, shown - 1].map((k) => Boolean(run?.frames[k]?.image));
    const key = run ? [run.id, run.last, run.state, shown, ...seen, this.painter.slab.width].join() : "";
    if (key === this.key) return;
    const soon = run && this.key.startsWith(run.id) ? REST_MS : 0;
    this.timer = setTimeout(() => { this.key = key; this.draw(); }, soon);
  }

  draw() {
    const { run, shown } = this.stage;
    const part = (/** @type {string} */ name) => find(name, this.root);
    const edits = run ? editsAt(run, shown) : [];
    part(".cz-edits-title").textContent = run ? title(run, shown) : "Inspect a token";
    part(".cz-edits").replaceChildren(...edits.slice(0, SHOWN).map((edit) => {
      if (shown > 0) this.stage.want(run, shown - 1);
      const where = capital(place(edit.at, run.columns));
      const words = make("span", { className: "cz-edit-words" }, make("b", { textContent: where }), toldEdit(edit, run.maskId));
      const swap = beforeAndAfter(run, shown, edit.at, this.painter.slab);
      return make("li", {}, make("button", { className: "cz-edit-told", onclick: () => this.stage.select(edit.at) }, swap, words));
    }));
    const more = edits.length - SHOWN;
    Object.assign(part(".cz-edits-more"), { hidden: more <= 0, textContent: `and ${more} more, framed in orange on the grid` });
    const steps = run ? editing(run) : [];
    part(".cz-edit-steps").hidden = !steps.length;
    part(".cz-edit-steps").replaceChildren("Edited at step ", ...steps.map(({ k, edits: n }) => make("button", {
      className: "cz-edit-step",
      textContent: String(k),
      title: count(n, "edit"),
      "aria-label": `Step ${k}: ${count(n, "edit")}`,
      "aria-pressed": String(k === shown),
      onclick: () => this.stage.jump(k),
    })));
  }
}

/** @param {Run} run @param {number} k */
function title(run, k) {
  const frame = run.frames[k];
  if (frame.edited.length) return `Step ${k}: ${count(frame.edited.length, "edit")}`;
  if (k < run.last || !frame.editsSoFar) return k === 0 ? "Start: nothing decided yet" : `Step ${k}: no edits`;
  return `${capital(count(frame.editsSoFar, "edit"))} in ${count(editing(run).length, "step")}`;
}
