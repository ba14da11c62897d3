// @ts-check
// The runs of this tab: small pictures to go back to.

import { find, make } from "../../layout/dom.js";

/** @typedef {import("../run/run.js").Run} Run */

const RUNS_KEPT = 24;
export const RUNS_SHOWN = 10;

export class Shelf {
  constructor() {
    /** @type {Run[]} the newest first */
    this.runs = [];
    /** @type {Run[]} runs that another of the shelf equals: not shown, and still found by their names */
    this.twins = [];
  }

  /** @param {Run} run */
  add(run) {
    if (this.runs.includes(run)) return;
    this.runs.unshift(run);
    this.runs.length = Math.min(this.runs.length, RUNS_KEPT);
  }

  /** @param {string} id */
  find(id) {
    return [...this.runs, ...this.twins].find((run) => run.id === id) || null;
  }

  /**
   * The same run stands here once: a run has ended, and of it and those that equal it one stays.
   * @param {Run} run @param {(run: Run) => boolean} keeps whether a run has to stay, for what was done to it
   */
  settle(run, keeps) {
    const others = this.runs.filter((other) => other !== run && alike(run, other));
    const gone = others.some(keeps) && !keeps(run) ? [run] : others.filter((other) => !keeps(other));
    this.twins = [...gone, ...this.twins].slice(0, RUNS_KEPT);
    this.runs = this.runs.filter((one) => !gone.includes(one));
  }
}

/**
 * The same carving once more: prompt, seed, settings and where it began are the same, and so is every step.
 * @param {Run} a @param {Run} b
 */
export function alike(a, b) {
  const told = (/** @type {Run} */ run) => JSON.stringify([
    run.kind, run.state, run.prompt, run.seed, run.settings, run.rows, run.columns, run.maskId, run.offset, run.frames.length, run.ground,
  ]);
  if (a.state !== "done" || a.ground || told(a) !== told(b)) return false;
  const equal = (/** @type {ArrayLike<number>} */ one, /** @type {ArrayLike<number>} */ other) => {
    return one.length === other.length && Array.from(one).every((value, i) => value === other[i]);
  };
  return a.frames.every((frame, k) => equal(frame.tokens, b.frames[k].tokens) && equal(frame.locked, b.frames[k].locked));
}

export class ShelfView {
  /** @param {import("../stage.js").Stage} stage @param {HTMLElement} root */
  constructor(stage, root) {
    this.stage = stage;
    this.root = root;
    this.key = "";
    stage.on("change", () => this.show());
  }

  show() {
    const list = find(".cz-shelf", this.root);
    const runs = this.stage.shelf.runs.slice(0, RUNS_SHOWN);
    // with the first picture already: nothing moves as the second comes
    this.root.hidden = !runs.length;
    const key = runs.map((run) => `${run.id} ${run.state} ${run.frames.length} ${Boolean(run.frames[run.last]?.image)}`).join();
    if (key !== this.key) {
      this.key = key;
      list.replaceChildren(...runs.map((run) => this.item(run)));
    }
    runs.forEach((run, i) => {
      const button = list.children[i].firstChild;
      button.setAttribute("aria-pressed", String(run === this.stage.run));
      button.classList.toggle("is-beside", run === this.stage.beside);
    });
  }

  /** @param {Run} run */
  item(run) {
    const title = [run.prompt, run.note(true)].filter(Boolean).join(" · ");
    const onclick = () => this.stage.show(run);
    return make("li", {}, make("button", { className: "cz-thumb", title, "aria-label": `Show again: ${title}`, onclick },
      thumbnail(run, 48)));
  }
}

/** The last picture of a run, small; redrawn once its image is decoded. @param {Run} run @param {number} size */
export function thumbnail(run, size) {
  const height = Math.round((size * 2 * run.rows) / run.columns);
  const canvas = make("canvas", { width: size * 2, height, "aria-hidden": "true" });
  const frame = run.frames[run.last];
  const draw = () => {
    const ctx = canvas.getContext("2d");
    if (frame && frame.image) return ctx.drawImage(frame.image, 0, 0, canvas.width, canvas.height);
    ctx.fillStyle = "#c9c4bc";
    ctx.fillRect(0, 0, canvas.width, canvas.height);
  };
  draw();
  if (frame) frame.ready.then(draw);
  return canvas;
}
