// @ts-check
// What stands around the canvas: views and legend, captions, timeline and its buttons, the line that tells where we are,
// the menu of comparisons.

import { find, findAll, make } from "../layout/dom.js";
import { columnAndRow } from "./run/cells.js";
import { editOf, toldEdit } from "./run/edits.js";
import { entropyTop } from "./canvas/colours.js";
import { tellPlaying } from "./time/player.js";
import { RUNS_SHOWN } from "./kept/shelf.js";
import { Timeline } from "./time/timeline.js";
import { Line } from "./line.js";
import { percent, place } from "./run/words.js";

/** @typedef {import("./run/run.js").Run} Run */

const PANEL_PX = 300; // this much of the panel should be in sight
const ABOVE_PX = 60; // and this much above the chosen cell

export class StageView {
  /**
   * @param {import("./stage.js").Stage} stage
   * @param {HTMLElement} root
   * @param {{hovered: number}} hand
   */
  constructor(stage, root, hand) {
    this.stage = stage;
    this.root = root;
    this.hand = hand;
    this.canvas = this.find(".cz-canvas");
    this.line = new Line(this.find(".cz-status"), 1);
    this.timeline = new Timeline(this.find(".cz-timeline"), (k) => stage.jump(k));
    const on = (/** @type {string} */ name, /** @type {() => void} */ call) => this.find(name).addEventListener("click", call);
    on(".cz-play", () => stage.player.toggle());
    on(".cz-back", () => stage.jump(stage.position - 1));
    on(".cz-next", () => stage.jump(stage.position + 1));
    on(".cz-speed", () => stage.player.faster());
    this.find(".cz-compare").addEventListener("change", () => this.compare());
    for (const view of findAll(".cz-view", root)) view.addEventListener("click", () => stage.view(view.dataset.view));
    stage.on("change", () => this.refresh());
    stage.on("say", (words) => this.say(words));
    stage.on("tell", (words) => this.tell(words));
    stage.on("hover", (cell) => this.glance(cell));
    stage.on("reveal", () => this.reveal());
    new ResizeObserver(() => stage.changed()).observe(this.canvas);
    const dark = { attributes: true, attributeFilter: ["class"] };
    new MutationObserver(() => stage.changed()).observe(document.body, dark);
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.root);
  }

  refresh() {
    const { stage } = this;
    const { run, beside, position, longest, player, overlay } = stage;
    const steps = run ? [...run.frames.keys()] : [];
    const drafted = new Set(steps.filter((k) => stage.sheet.draft(run, k)));
    this.timeline.show(run, position, beside, drafted);
    if (this.hand.hovered >= 0 && !stage.busy) this.glance(this.hand.hovered);
    else if (!stage.asks.waiting) this.sayStep();
    this.root.classList.toggle("is-waiting", stage.asks.waiting);
    this.find(".cz-engraving").hidden = Boolean(run);
    this.find(".cz-under").hidden = !run;
    this.find(".cz").classList.toggle("is-bare", !run);
    this.caption(".cz-caption", run);
    this.caption(".cz-caption-beside", beside);
    const idle = !run || longest < 1;
    this.find(".cz-play").disabled = idle;
    this.find(".cz-back").disabled = idle || position === 0;
    this.find(".cz-next").disabled = idle || position === longest;
    tellPlaying(this.find(".cz-play"), player.playing);
    this.find(".cz-speed").textContent = `${player.speed}×`;
    this.find(".cz-speed").setAttribute("aria-label", `Speed: ${player.speed} times`);
    for (const view of findAll(".cz-view", this.root)) view.setAttribute("aria-pressed", String(view.dataset.view === overlay));
    for (const key of findAll(".cz-key", this.root)) key.hidden = !key.dataset.views.split(" ").includes(overlay);
    this.refreshKeys();
    this.refreshCompare();
  }

  /** The legend names only what is there to see. */
  refreshKeys() {
    const { run, sheet, tokens, byHand } = this.stage;
    if (run) this.find(".cz-entropy-top").textContent = entropyTop(run.maskId).toFixed(1);
    this.find(".cz-key-locked").classList.toggle("is-off", !sheet.countLocked());
    this.find(".cz-key-hand").classList.toggle("is-off", ![...byHand].some((cell) => tokens[cell] !== run.maskId));
  }

  /** @param {string} name @param {Run | null} run */
  caption(name, run) {
    const node = this.find(name);
    node.hidden = !run;
    if (!run) return;
    find("b", node).textContent = run.prompt || "";
    find("span", node).textContent = run.note();
  }

  // ---- the line under the timeline ---------------------------------------------------------------------------

  /** @param {string | string[]} words in one form, or the same in ever fewer words */
  say(words) {
    this.line.tell([words].flat());
  }

  sayStep() {
    const { run, shown, byHand } = this.stage;
    this.say(run ? run.described(shown, byHand.size) : this.stage.asks.cutWords);
  }

  /** One line about the cell under the mouse, in place of the step's own. @param {number} cell */
  glance(cell) {
    const { run, asks, holding } = this.stage;
    if (!run || asks.waiting || holding) return;
    if (cell < 0) return this.sayStep();
    const { tokens, frame, shown, sheet } = this.stage;
    const token = tokens[cell];
    const edit = token === frame.tokens[cell] ? editOf(run, shown, cell) : null;
    const what = token === run.maskId ? "masked" : `token ${token}`;
    const p = percent(frame.p[cell] / 65535);
    if (edit) return this.say(`${place(cell, run.columns)} · edited at this step: ${toldEdit(edit, run.maskId)}`);
    const sure = token !== frame.tokens[cell] ? "changed by hand" : frame.phase === "start" ? "" : p;
    this.say([place(cell, run.columns), what, sure, sheet.isLocked(cell) ? "locked" : ""].filter(Boolean).join(" · "));
  }

  /** For those who walk the grid by keyboard and cannot see it. @param {string} words */
  tell(words) {
    const node = this.find(".cz-say");
    if (words && words !== node.textContent && document.activeElement === this.canvas) node.textContent = words;
  }

  // ---- another run beside -------------------------------------------------------------------------------------

  refreshCompare() {
    const { run, beside, free, shelf } = this.stage;
    const menu = this.find(".cz-compare");
    menu.hidden = Boolean(beside);
    menu.disabled = !free || run.state !== "done";
    const own = Boolean(run) && ["generate", "repaint", "branch"].includes(run.kind);
    for (const option of findAll("[data-again]", menu)) {
      const switched = option.value === "editing";
      option.disabled = !own || (switched && !this.stage.revises);
      option.hidden = switched && !this.stage.revises;
    }
    const others = shelf.runs.filter((other) => other !== run);
    const group = find("optgroup", menu);
    group.hidden = !others.length;
    const key = others.map((other) => other.id).join();
    if (key === group.dataset.key) return; // an open menu must not change under the hand
    group.dataset.key = key;
    group.replaceChildren(...others.slice(0, RUNS_SHOWN).map((other) => {
      return make("option", { value: other.id, textContent: `${other.prompt.slice(0, 40)} · ${other.note()}` });
    }));
  }

  /** What was chosen in the menu. */
  compare() {
    const { stage } = this;
    const menu = this.find(".cz-compare");
    const { value } = menu;
    if (!value) return;
    menu.value = "";
    const other = stage.shelf.find(value);
    if (!other) return stage.asks.compareWith(value);
    stage.compare(other);
    stage.go(stage.longest);
  }

  /** In one column the panel of the chosen cell may lie below the window: it comes into sight, and the cell stays there. */
  reveal() {
    const { run, selected } = this.stage;
    if (selected < 0) return;
    const hidden = this.find(".cz-inspector").getBoundingClientRect().top - (window.innerHeight - PANEL_PX);
    const box = this.canvas.getBoundingClientRect();
    const above = box.top + columnAndRow(selected, run)[1] * (box.height / run.rows) - ABOVE_PX;
    const by = Math.min(hidden, above);
    const behavior = window.matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    if (hidden > 0 && by > 0) window.scrollBy({ top: by, behavior });
  }
}
