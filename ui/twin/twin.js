// @ts-check
// Two prompts on the same noise: asks for the second run beside the first, and tells step by step how far they are apart.

import { find, findAll, make } from "../layout/dom.js";
import { facts } from "../layout/facts.js";
import { again } from "../stage/ask/ask.js";
import { count } from "../stage/run/words.js";
import { course, otherColour, told, twins } from "./apart.js";

/** @typedef {import("../stage/run/run.js").Run} Run */

const BOX = "#prompt textarea";
const words = (/** @type {string} */ text) => text.trim().replace(/\s+/g, " ");

export class Twin {
  /** @param {import("../stage/stage.js").Stage} stage @param {{element: HTMLElement}} piece */
  constructor(stage, { element }) {
    this.stage = stage;
    this.element = element;
    this.pending = ""; // the other prompt, while the first one's picture is made
    this.drawn = ""; // the pair whose chart stands there
    this.offered = ""; // what was written into the field for the visitor
    this.field = this.find(".cz-twin-prompt");
    this.field.maxLength = facts().promptCharacters;
    this.find("[data-twin=compare]").addEventListener("click", () => this.press());
    this.find("[data-twin=difference]").addEventListener("click", () => /** @type {any} */ (stage).compareAs("difference"));
    this.field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.press();
    });
    this.find("details").addEventListener("toggle", () => this.offer());
    stage.on("done", (id) => this.after(id));
    stage.on("change", () => this.show());
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  /** @param {string} text */
  say(text) {
    this.find(".cz-twin-say").textContent = text;
  }

  /** The first prompt: that of the box, which follows the picture on the stage. */
  get first() {
    return words(find(BOX)?.value ?? "") || words(this.stage.run?.prompt ?? "");
  }

  /** A prompt to start with, as long as the visitor has written none. */
  offer() {
    if (this.field.value && this.field.value !== this.offered) return;
    this.offered = otherColour(this.first);
    this.field.value = this.offered;
  }

  press() {
    const { stage, first } = this;
    const other = words(this.field.value);
    if (stage.busy) return this.say("A picture is being carved: wait until it is done.");
    if (!other) { this.field.focus(); return this.say("Type the other prompt first."); }
    if (!first) return this.say("Type the first prompt above.");
    if (other.toLowerCase() === first.toLowerCase()) { this.field.focus(); return this.say("Both prompts are the same: change a word."); }
    this.say("");
    const { run } = stage;
    if (fresh(run) && run.state === "done" && words(run.prompt) === first) return this.beside(run, other);
    this.pending = other;
    this.say("First the picture of the prompt above …");
    find("#generate").click();
  }

  /** @param {string} id of a run that has ended */
  after(id) {
    const other = this.pending;
    const { run } = this.stage;
    if (!other || run?.id !== id) return;
    this.pending = "";
    if (run.state !== "done" || !fresh(run)) return this.say("");
    // a moment later: the event of the first one is still closing
    setTimeout(() => this.beside(run, other), 300);
  }

  /** @param {Run} run @param {string} other */
  beside(run, other) {
    if (this.stage.run !== run) return;
    const { ask, changes } = again(facts().form, run);
    this.say(this.stage.asks.start({ ...ask, role: "beside" }, { ...changes, prompt: other }) ? "" : "Try again in a moment.");
  }

  // ---- what came of it -----------------------------------------------------------------------------------------

  show() {
    const { run, beside, position } = this.stage;
    const on = twins(run, beside);
    const over = on && run.state !== "running" && beside.state !== "running";
    this.find(".cz-twin-told").hidden = !over;
    if (!over) { this.drawn = ""; return; }
    const pair = `${run.id} ${run.last} ${beside.id} ${beside.last}`;
    if (pair !== this.drawn) this.chart(run, beside);
    this.drawn = pair;
    for (const bar of findAll(".cz-twin-chart button", this.element)) {
      if (Number(bar.dataset.step) === position) bar.setAttribute("aria-current", "step");
      else bar.removeAttribute("aria-current");
    }
    this.find(".cz-twin-now").textContent = told(run, beside, position);
    const way = /** @type {any} */ (this.stage);
    this.find("[data-twin=difference]").hidden = !way.compareAs || way.way === "difference";
  }

  /** A bar for each step, as high as cells differ; each leads to its step. @param {Run} run @param {Run} beside */
  chart(run, beside) {
    const bars = course(run, beside).map(({ other, alone }, k) => {
      const label = `Step ${k}: ${count(other, "cell")} with different tokens, ${alone} set in one only`;
      const bar = make("button", { title: label, "aria-label": label, "data-step": String(k), onclick: () => this.stage.jump(k) },
        make("i", { className: "is-alone" }), make("i", { className: "is-other" }));
      const [above, below] = /** @type {HTMLElement[]} */ ([...bar.children]);
      above.style.height = `${(alone / run.cells) * 100}%`;
      below.style.height = `${(other / run.cells) * 100}%`;
      Object.assign(bar.dataset, { other: String(other), alone: String(alone) });
      return bar;
    });
    this.find(".cz-twin-chart").replaceChildren(...bars);
  }
}

/** It began with nothing but masks. @param {Run | null} run */
function fresh(run) {
  return run?.kind === "generate" && !run.frames[0]?.locked.includes(1);
}
