// @ts-check
// A chapter in a file of its own: the studio's own stage over the runs that are written into the file, and the chapter's
// own script over what it was told when the file was saved.

import { find, findAll, forStage, make } from "../../layout/dom.js";
import { Hands } from "../../hands/hands.js";
import { Canvas } from "../../stage/canvas/canvas.js";
import { ShelfView } from "../../stage/kept/shelf.js";
import { cellUnder, moved } from "../../stage/run/cells.js";
import { Stage } from "../../stage/stage.js";
import { Timeline } from "../../stage/time/timeline.js";
import { tellPlaying } from "../../stage/time/player.js";
import { CHAPTERS } from "../chapters.js";
import { unfolded, unpacked } from "./packed.js";
import { replayed } from "./recorder.js";

/** What lies around the stage in a file: timeline, views, keys. */
class FileView {
  /** @param {Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.canvas = find(".cz-canvas");
    /** @type {ConstructorParameters<typeof Canvas>[2]} */
    const hand = { tool: "inspect", hovered: -1, marked: () => [], mover: { ghost: null, chosen: new Set() } };
    new Canvas(stage, document.body, hand, { factor: 1 }, { pixels: false, lines: false, bare: false });
    new ShelfView(stage, find(".cz-runs"));
    this.timeline = new Timeline(find(".cz-timeline"), (k) => stage.jump(k));
    const walk = (/** @type {number} */ dx, /** @type {number} */ dy) => () => stage.select(moved(stage.selected, dx, dy, stage.run));
    /** @type {Record<string, () => void>} */
    this.keys = {
      ArrowLeft: walk(-1, 0), ArrowRight: walk(1, 0), ArrowUp: walk(0, -1), ArrowDown: walk(0, 1),
      " ": () => stage.player.toggle(), "[": () => stage.jump(stage.position - 1), "]": () => stage.jump(stage.position + 1),
      Home: () => stage.jump(0), End: () => stage.jump(stage.longest),
    };
    this.listen();
    stage.on("change", () => this.refresh());
  }

  listen() {
    const { canvas, stage, keys } = this;
    const buttons = { ".cz-play": " ", ".cz-back": "[", ".cz-next": "]" };
    for (const [name, key] of Object.entries(buttons)) find(name).addEventListener("click", keys[key]);
    for (const view of findAll(".cz-view")) view.addEventListener("click", () => stage.view(view.dataset.view));
    for (const undo of findAll("[data-press=undo]")) undo.addEventListener("click", () => stage.travel(true));
    canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const cell = cellUnder(canvas, event, stage.run);
      if (cell >= 0) stage.select(cell);
    });
    document.addEventListener("keydown", (event) => {
      if (!forStage(event, canvas) || !keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    new ResizeObserver(() => stage.changed()).observe(canvas);
  }

  refresh() {
    const { run, position, longest, shown, player, overlay, byHand, sheet } = this.stage;
    if (!run) return;
    this.timeline.show(run, position, null, new Set());
    find(".cz-status").textContent = run.describe(shown, byHand.size);
    find(".ls-prompt").textContent = run.prompt;
    find(".cz-play").disabled = longest < 1;
    find(".cz-back").disabled = position === 0;
    find(".cz-next").disabled = position === longest;
    tellPlaying(find(".cz-play"), player.playing);
    for (const view of findAll(".cz-view")) view.setAttribute("aria-pressed", String(view.dataset.view === overlay));
    for (const undo of findAll("[data-press=undo]")) undo.disabled = !sheet.past.length;
  }
}

/** @param {any} data see learn/lesson/save.js */
function open(data) {
  const { model, chapter, runs, beside, pieces } = data;
  document.head.append(make("meta", { name: "chisel", content: JSON.stringify(model) })); // see layout/facts.js
  document.body.classList.toggle("dark", window.matchMedia("(prefers-color-scheme: dark)").matches);
  const stage = new Stage({ rows: model.grid[0], columns: model.grid[1] }, model.revises);
  stage.task = "learn";
  // nothing can be computed here: who asks for it is told so by the chapter's own buttons, which are not shown
  Object.assign(stage.asks, { act: () => false, start: () => false, compareWith: () => {} });
  const hands = new Hands(stage);
  new FileView(stage);
  for (const element of findAll("[data-piece]")) {
    const name = element.dataset.piece;
    CHAPTERS[name]?.({ stage, hands, model }, replayed(element, pieces[name] ?? { calls: [], live: [] }));
  }
  for (const message of [...runs].reverse()) stage.take(message);
  stage.sheet.past = []; // the runs of a file did not replace each other
  if (beside) stage.take(beside);
  stage.jump(data.step);
  if (data.cell >= 0) stage.select(data.cell);
  stage.enter(chapter);
  find(".ls-formula").hidden = !find(".ls-formula .cz-behind-panel").childElementCount;
  const go = (/** @type {number} */ k) => stage.jump(k);
  const select = (/** @type {number} */ cell) => stage.select(cell);
  Object.assign(window, { chiselFile: { stage, go, select } });
  Promise.all(stage.run.frames.map((frame) => frame.ready)).then(() => { document.body.dataset.ready = "yes"; stage.changed(); });
}

unpacked(find("#data").textContent).then((data) => open(unfolded(data))).catch((error) => {
  find(".ls-broken").hidden = false;
  document.body.dataset.broken = String(error);
});
