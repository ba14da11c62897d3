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
    stage.on("paired", () => this.opened());
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
    const known = [stage.run, ...stage.shelf.runs].find((run) => {
      return fresh(run) && run.state === "done" && words(run.prompt) === first;
    });
    if (known) {
      stage.show(known);
      return this.beside(known, other);
    }
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

  /** A link has brought two runs: where they are two prompts' own, the second stands in the field. */
  opened() {
    const { run, beside } = this.stage;
    if (!twins(run, beside)) return;
    this.field.value = beside.prompt;
    this.find("details").open = true;
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
    findAll(".cz-twin-chart span", this.element).forEach((bar, k) => bar.classList.toggle("is-here", k === position));
    this.find(".cz-twin-now").textContent = told(run, beside, position);
    const way = /** @type {any} */ (this.stage);
    this.find("[data-twin=difference]").hidden = !way.compareAs || way.way === "difference";
  }

  /**
   * A bar for each step, as high as cells differ; a press leads to its step, as the timeline does.
   * @param {Run} run @param {Run} beside
   */
  chart(run, beside) {
    const steps = course(run, beside);
    const bars = steps.map(({ other, alone }, k) => {
      const bar = make("span", { title: `Step ${k}: ${count(other, "cell")} with different tokens, ${alone} set in one only` });
      for (const [name, n] of /** @type {[string, number][]} */ ([["alone", alone], ["other", other]])) {
        const part = make("i", { className: `is-${name}` });
        part.style.height = `${(n / run.cells) * 100}%`;
        bar.append(part);
        bar.dataset[name] = String(n);
      }
      bar.addEventListener("click", () => this.stage.jump(k));
      return bar;
    });
    const chart = this.find(".cz-twin-chart");
    chart.replaceChildren(...bars);
    chart.setAttribute("aria-label", `Cells that differ after each step: ${steps.map(({ other, alone }) => other + alone).join(", ")}.`);
  }
}

/** It began with nothing but masks. @param {Run | null} run */
function fresh(run) {
  return run?.kind === "generate" && !run.frames[0]?.locked.includes(1);
}
