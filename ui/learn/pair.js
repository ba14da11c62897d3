// @ts-check
// Two carvings of the same noise, drawn large and in step with the timeline of the stage: the run on the stage and the one
// beside it. What differs is framed, and told in numbers.

import { find, until } from "../layout/dom.js";
import { Painter } from "../stage/canvas/paint.js";
import { count, percent } from "../stage/run/words.js";

/** @typedef {import("../stage/run/run.js").Run} Run */

const GATHER_MS = 20_000; // that a file waits for the other run

/** The cells in which two grids of tokens differ. @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
export function differing(a, b) {
  return Array.from(a, (_, cell) => cell).filter((cell) => a[cell] !== b[cell]);
}

/** A run at a step, held at its end. @param {Run} run @param {number} k */
const at = (run, k) => run.frames[Math.min(k, run.last)];

/** "29 edits; 41 of 256 tokens differ in the end, the first of them at step 4" @param {Run} a @param {Run} b */
export function parted(a, b) {
  const longest = Math.max(a.last, b.last);
  const first = Array.from({ length: longest + 1 }, (_, k) => k)
    .find((k) => differing(at(a, k).tokens, at(b, k).tokens).length);
  const n = differing(at(a, longest).tokens, at(b, longest).tokens).length;
  const edits = [a, b].map((run) => run.frames[run.last].editsSoFar);
  const editing = edits[0] >= edits[1] ? edits : [edits[1], edits[0]];
  const words = `${count(editing[0], "edit")} against ${editing[1]}; ${n} of ${a.cells} tokens differ in the end`;
  if (first === undefined) return `${words}.`;
  const frame = at(a, first);
  return `${words}, the first of them at ${frame.phase === "polish" ? a.passed(a.frames.indexOf(frame)) : `step ${first}`}.`;
}

export class Pair {
  /** @param {import("../stage/stage.js").Stage} stage @param {HTMLElement} element */
  constructor(stage, element) {
    this.stage = stage;
    this.element = element;
    this.open = false;
    this.request = 0;
    this.absent = ""; // what is said while nothing stands beside
    this.own = new Painter(this.find("[data-pair=own]"));
    this.other = new Painter(this.find("[data-pair=beside]"));
    this.find(".lab-again").addEventListener("click", () => {
      this.say("Carving …");
      stage.asks.compareWith("editing");
    });
    this.find(".lab-stop").addEventListener("click", () => { stage.compare(null); stage.jump(stage.run.last); });
    stage.on("chapter", (name) => { this.open = name === "editing"; this.show(); });
    stage.on("change", () => this.show());
    stage.on("done", () => this.tell());
    stage.on("compare", () => this.tell());
    new ResizeObserver(() => this.wanted()).observe(this.find(".lab-pair"));
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  /** @param {string} words */
  say(words) {
    this.find(".lab-again-say").textContent = words;
  }

  /** For a saved lesson: the other way of the same noise, where nothing stands beside yet and there can be one. */
  async gather() {
    const { stage } = this;
    if (this.comparing || this.find(".lab-again").disabled) return;
    this.find(".lab-again").click();
    await until(() => stage.free && this.comparing && stage.beside.state !== "running", GATHER_MS);
  }

  /** In a file: what is not there is said, for nothing can be carved. */
  reopened() {
    this.absent = "Nothing had been compared when this file was saved.";
    this.tell();
  }

  /** The run beside is the one on the stage with editing switched. */
  get comparing() {
    const { run, beside } = this.stage;
    return Boolean(run && beside && beside.cells === run.cells);
  }

  show() {
    const { run, beside, free, revises } = this.stage;
    const own = Boolean(run) && ["generate", "repaint", "branch"].includes(run.kind);
    const off = run?.settings?.edit === "off";
    const threshold = run?.settings?.edit_threshold;
    this.find(".lab-threshold").textContent = threshold === undefined || run.kind === "heal" ? ""
      : ` (${threshold} in this picture: ${percent(threshold)})`;
    const again = this.find(".lab-again");
    again.disabled = !free || run.state !== "done" || !own || !revises || Boolean(beside);
    again.textContent = off ? "Carve it again with editing" : "Carve it again without editing";
    this.find(".lab-stop").hidden = !this.comparing;
    for (const name of [".lab-pair", ".lab-pair-say"]) this.find(name).hidden = !this.comparing;
    if (!this.open || !this.comparing) return;
    const captions = [run, beside].map((one) => (one.settings?.edit === "off" ? "editing off" : "editing on"));
    this.element.querySelectorAll(".lab-pair figcaption").forEach((node, i) => { node.textContent = captions[i]; });
    this.wanted();
  }

  tell() {
    const { run, beside } = this.stage;
    if (!this.comparing) return this.say(this.absent);
    if (run.state !== "running" && beside.state !== "running") this.say(parted(run, beside));
  }

  wanted() {
    if (!this.request && this.open && this.comparing) this.request = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.request = 0;
    const { run, beside, position, selected } = this.stage;
    if (!this.open || !this.comparing) return;
    const [a, b] = [at(run, position), at(beside, position)];
    const marked = differing(a.tokens, b.tokens);
    const pairs = /** @type {const} */ ([[this.own, run, a], [this.other, beside, b]]);
    for (const [painter, one, frame] of pairs) {
      painter.draw({
        run: one, k: one.frames.indexOf(frame), grid: one, overlay: "picture", selected, hover: -1, since: null, marks: 0,
        tokens: frame.tokens, draft: null, changed: new Set(), locks: null, marked, differ: null,
      });
    }
    Object.assign(this.element.dataset, { differ: String(marked.length) });
  }
}
