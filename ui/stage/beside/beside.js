// @ts-check
// Another run beside the one on the canvas: the button that makes the same without editing, the ways to look at both,
// and the sentence that counts.

import { find, findAll } from "../../layout/dom.js";
import { Line, quoted } from "../line.js";
import { compared, outcome } from "./outcome.js";

const AGAIN = ["generate", "repaint", "branch"]; // what can be made again on the same noise
const THUMB_PX = 28; // see beside.css

export class BesideView {
  /** @param {import("../stage.js").Stage} stage @param {HTMLElement} root */
  constructor(stage, root) {
    this.stage = stage;
    this.root = root;
    this.line = new Line(this.find(".cz-outcome"), 2);
    this.find(".cz-without").addEventListener("click", () => stage.asks.compareWith("editing"));
    this.find(".cz-continue").addEventListener("click", () => stage.asks.carryOn());
    this.find(".cz-compare-stop").addEventListener("click", () => stage.compare(null));
    this.find(".cz-wipe").addEventListener("input", () => this.wipe());
    for (const way of findAll("[data-compare]", root)) way.addEventListener("click", () => stage.compareAs(way.dataset.compare));
    stage.on("change", () => this.show());
    this.wipe();
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.root);
  }

  show() {
    const { stage, root } = this;
    const { run, beside, free, revises } = stage;
    const way = beside ? stage.way : "";
    root.dataset.way = way;
    root.classList.toggle("is-comparing", Boolean(beside));
    this.find(".cz-side-beside").hidden = !beside;
    this.find(".cz-wipe").hidden = way !== "wipe";
    this.find(".cz-compare-as").hidden = !beside;
    this.find(".cz-compare-stop").hidden = !beside;
    for (const one of findAll("[data-compare]", root)) {
      one.setAttribute("aria-pressed", String(one.dataset.compare === way));
    }
    const off = run?.settings?.edit === "off";
    const without = this.find(".cz-without");
    without.textContent = off ? "With editing" : "Without editing";
    without.hidden = Boolean(beside) || !revises;
    without.disabled = !free || run.state !== "done" || !AGAIN.includes(run.kind);
    const stopped = stage.canCarryOn;
    this.find(".cz-continue").hidden = !stopped || Boolean(beside);
    this.find(".cz-branch").hidden = stopped || Boolean(beside);
    this.tell();
  }

  tell() {
    const { run, beside, position, shelf, sheet } = this.stage;
    const parent = run?.parent ? shelf.find(run.parent[0]) : null;
    // it counts what the run left there: of a picture that a hand has changed since it would be false
    const changed = run && (sheet.draft(run, run.last) || this.stage.draft);
    const came = () => (beside ? compared(run, beside, position) : outcome(run, parent));
    const words = !run ? "" : this.stage.asks.cutWords || (changed ? "" : came());
    const line = this.find(".cz-outcome");
    const forms = words || !run ? [words] : quoted(run.prompt, run.note());
    line.classList.toggle("is-news", Boolean(words));
    if (forms[0] !== line.title) line.title = forms[0];
    this.line.tell(forms);
  }

  wipe() {
    // where the middle of the slider's thumb is, which never leaves the picture
    const at = Number(this.find(".cz-wipe").value) / 100;
    this.root.style.setProperty("--cz-wipe", `calc(${THUMB_PX / 2}px + (100% - ${THUMB_PX}px) * ${at})`);
  }
}
