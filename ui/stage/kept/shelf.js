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
  }

  /** @param {Run} run */
  add(run) {
    if (this.runs.includes(run)) return;
    this.runs.unshift(run);
    this.runs.length = Math.min(this.runs.length, RUNS_KEPT);
  }

  /** @param {string} id */
  find(id) {
    return this.runs.find((run) => run.id === id) || null;
  }
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
    const key = runs.map((run) => `${run.id} ${run.frames.length} ${Boolean(run.frames[run.last]?.image)}`).join();
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
    const title = [run.prompt, run.note()].filter(Boolean).join(" · ");
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
