// @ts-check
// The replay page: one finished run, its frames written into the page. Shares run, canvas and timeline with the studio.

import { find, findAll, forStage, make } from "../layout/dom.js";
import { cellUnder, moved } from "../stage/run/cells.js";
import { strength } from "../stage/canvas/marks.js";
import { Painter } from "../stage/canvas/paint.js";
import { Player, tellPlaying } from "../stage/time/player.js";
import { gridLabel, Run } from "../stage/run/run.js";
import { Timeline } from "../stage/time/timeline.js";
import { capital, percent, place } from "../stage/run/words.js";

class Replay {
  /** @param {import("../stage/run/run.js").Message} message */
  constructor(message) {
    this.run = new Run(message);
    /** @type {[label: string, value: any][]} */
    this.told = message.told ?? [];
    this.run.take(message);
    this.position = this.run.last;
    this.selected = -1;
    this.overlay = "picture";
    this.busy = false; // no step will come that is not here
    this.canvas = find(".cz-canvas");
    this.painter = new Painter(this.canvas);
    this.player = new Player(this, () => this.refresh());
    this.timeline = new Timeline(find(".cz-timeline"), (k) => this.jump(k));
    document.body.classList.toggle("dark", window.matchMedia("(prefers-color-scheme: dark)").matches);
    this.listen();
    this.tellAbout();
    Promise.all(this.run.frames.map((frame) => frame.ready)).then(() => { document.body.dataset.ready = "yes"; this.refresh(); });
  }

  get longest() {
    return this.run.last;
  }

  listen() {
    const { canvas, player } = this;
    const walk = (/** @type {number} */ dx, /** @type {number} */ dy) => () => {
      this.select(moved(this.selected, dx, dy, this.run));
    };
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: walk(-1, 0),
      ArrowRight: walk(1, 0),
      ArrowUp: walk(0, -1),
      ArrowDown: walk(0, 1),
      " ": () => player.toggle(),
      "[": () => this.jump(this.position - 1),
      "]": () => this.jump(this.position + 1),
      Home: () => this.jump(0),
      End: () => this.jump(this.longest),
    };
    document.addEventListener("keydown", (event) => {
      if (!forStage(event, canvas) || !keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const cell = cellUnder(canvas, event, this.run);
      if (cell >= 0) this.select(cell);
    });
    const buttons = { ".cz-play": " ", ".cz-back": "[", ".cz-next": "]" };
    for (const [name, key] of Object.entries(buttons)) find(name).addEventListener("click", keys[key]);
    for (const view of findAll(".cz-view")) {
      view.addEventListener("click", () => { this.overlay = view.dataset.view; this.refresh(); });
    }
    new ResizeObserver(() => requestAnimationFrame(() => this.paint())).observe(canvas);
  }

  /** What the whole run is. */
  tellAbout() {
    const { run } = this;
    find(".rp-prompt").textContent = run.prompt;
    this.canvas.setAttribute("aria-label", gridLabel(run));
    find(".rp-settings").replaceChildren(...this.told.flatMap(([name, value]) => {
      return [make("dt", { textContent: name }), make("dd", { textContent: String(value) })];
    }));
  }

  /** @param {number} k */
  go(k) {
    this.position = Math.min(Math.max(k, 0), this.longest);
    this.refresh();
  }

  /** @param {number} k */
  jump(k) {
    this.player.pause();
    this.go(k);
  }

  /** @param {number} cell */
  select(cell) {
    this.selected = cell;
    this.refresh();
  }

  refresh() {
    const { run, position } = this;
    this.timeline.show(run, position, null, new Set());
    find(".cz-counter").textContent = `${position} / ${run.last}`;
    find(".cz-status").textContent = run.describe(position);
    find(".cz-play").disabled = run.last < 1;
    find(".cz-back").disabled = position === 0;
    find(".cz-next").disabled = position === run.last;
    tellPlaying(find(".cz-play"), this.player.playing);
    for (const view of findAll(".cz-view")) view.setAttribute("aria-pressed", String(view.dataset.view === this.overlay));
    this.inspect();
    requestAnimationFrame(() => this.paint());
  }

  paint() {
    const { run, position, overlay, selected } = this;
    const frame = run.frames[position];
    const locks = frame.locked.includes(1) ? Int32Array.from(frame.locked, (on, cell) => (on ? frame.tokens[cell] : -1)) : null;
    this.painter.draw({
      run, k: position, grid: run, overlay, selected, hover: -1, since: null, marks: strength(run, position, null),
      tokens: frame.tokens, draft: null, locks, changed: new Set(), marked: [], differ: null,
    });
    Object.assign(this.canvas.dataset, {
      step: String(position), last: String(run.last), masked: String(frame.masked), edits: String(frame.editsSoFar),
      cell: String(selected), overlay, state: run.state,
    });
  }

  inspect() {
    const { run, position, selected } = this;
    if (selected < 0) return;
    const frame = run.frames[position];
    const masked = frame.tokens[selected] === run.maskId;
    const what = masked ? "masked" : `token ${frame.tokens[selected]}`;
    const sure = frame.phase === "start" ? "" : `, ${percent(frame.p[selected] / 65535)}${masked ? " for the best guess" : ""}`;
    find(".rp-where").textContent = capital(place(selected, run.columns));
    find(".rp-now").textContent = `At this step: ${what}${sure}.`;
    find(".rp-history").replaceChildren(...run.history(selected).map((event) => {
      const className = event.k === position ? "is-here" : event.k > position ? "is-later" : "";
      const textContent = `${event.k === 0 ? "start" : `step ${event.k}`}: ${this.happened(event)}`;
      return make("li", {}, make("button", { className, textContent, onclick: () => this.jump(event.k) }));
    }));
  }

  /** @param {import("../stage/run/run.js").Happened} event */
  happened(event) {
    if (event.kind === "start") return event.to === this.run.maskId ? "masked" : `given as ${event.to}`;
    if (event.kind === "set") return `set to ${event.to}, ${percent(event.p)}`;
    if (event.kind === "remask") return `${event.from} back to masked`;
    return `edited from ${event.from} to ${event.to}, ${percent(event.p)}`;
  }
}

new Replay(JSON.parse(find("#run").textContent));
