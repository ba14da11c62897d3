// @ts-check
// Variations: each can be looked at on the canvas; one is accepted, or all are discarded.

import { find, make } from "../../layout/dom.js";
import { Run } from "../run/run.js";
import { thumbnail } from "./shelf.js";
import { count } from "../run/words.js";

/** @typedef {import("../stage.js").Stage} Stage */
/** @typedef {import("../run/run.js").Message} Message */

export class Variations {
  /** @param {Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** @type {import("./sheet.js").State | null} what was on the canvas before */
    this.from = null;
    this.of = 0;
    this.close();
  }

  /** One is still being carved. */
  get carving() {
    return this.open && !this.ended;
  }

  /** @param {Message} message */
  take(message) {
    const { stage } = this;
    if (!this.open) this.from = stage.sheet.snapshot(stage.run, stage.shown);
    for (const told of message.variations.slice(this.runs.length)) {
      const run = new Run(told);
      run.take(told);
      stage.sheet.inherit(run, stage.asks.locks);
      this.runs.push(run);
    }
    this.of = message.of;
    this.ended = message.state !== "running";
    this.open = this.runs.length > 0 || !this.ended;
    if (this.index < 0 && this.runs.length) this.look(0);
  }

  close() {
    /** @type {Run[]} */
    this.runs = [];
    this.index = -1; // the one on the canvas
    this.open = false;
    this.ended = false;
    this.round = {}; // of which event they are, told apart by identity
  }

  /** Something else comes onto the canvas: those that nobody chose stay on the shelf. */
  shelve() {
    for (const run of this.runs) {
      this.stage.shelf.add(run);
      this.stage.settle(run);
    }
    this.close();
  }

  /** @param {number} index */
  look(index) {
    this.index = index;
    const trial = this.runs[index];
    this.stage.setRun(trial);
    this.stage.go(trial.last);
  }

  accept() {
    if (this.index < 0) return;
    const { stage } = this;
    const trial = this.runs[this.index];
    this.close();
    stage.shelf.add(trial);
    stage.sheet.remember(this.from, stage.sheet.snapshot(trial, trial.last));
    stage.arrive(trial);
  }

  discard() {
    this.close();
    if (!this.from) return;
    this.stage.setRun(this.from.run);
    this.stage.go(this.from.k);
  }
}

export class VariationsView {
  /** @param {Stage} stage @param {HTMLElement} root */
  constructor(stage, root) {
    this.stage = stage;
    this.root = root;
    find(".cz-accept", root).addEventListener("click", () => stage.variations.accept());
    find(".cz-discard", root).addEventListener("click", () => stage.variations.discard());
    stage.on("change", () => this.show());
  }

  show() {
    const { variations } = this.stage;
    const { runs, ended, index } = variations;
    const first = runs.length > 0 && (this.root.dataset.count ?? "0") === "0";
    this.root.hidden = !variations.open;
    const key = [ended, index, variations.of, ...runs.map((run) => run.id)].join();
    if (key === this.root.dataset.key) return; // what did not change keeps the focus
    this.root.dataset.key = key;
    this.root.dataset.count = String(runs.length);
    find(".cz-variations-title", this.root).textContent =
      ended ? count(runs.length, "variation") : `variation ${runs.length + 1} of ${variations.of} is being carved …`;
    find(".cz-accept", this.root).disabled = index < 0;
    find(".cz-choices", this.root).replaceChildren(...runs.map((run, i) => make("button", {
      className: "cz-thumb is-large",
      "aria-pressed": String(i === index),
      "aria-label": `Variation ${i + 1}, seed ${run.seed}`,
      onclick: () => variations.look(i),
    }, thumbnail(run, 64))));
    if (first) requestAnimationFrame(() => this.root.scrollIntoView({ block: "nearest" }));
  }
}
