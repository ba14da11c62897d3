// @ts-check
// Hands on the grid: which cells a pointer or a key means, with brush, rectangle, mouse, finger and keyboard. What is then
// done to those cells is the business of `Hands`.

import { between, brush, cellUnder, way } from "../stage/run/cells.js";
import { TOOLS } from "./hands.js";

export class Tools {
  /**
   * @param {import("../stage/stage.js").Stage} stage
   * @param {import("./hands.js").Hands} hands
   * @param {HTMLCanvasElement} canvas
   */
  constructor(stage, hands, canvas) {
    this.stage = stage;
    this.hands = hands;
    this.canvas = canvas;
    this.tool = "inspect";
    this.size = 1;
    this.rectangle = false;
    /** @type {{from: number, last: number, first: boolean} | null} `first` until a cell was touched */
    this.stroke = null;
    this.anchor = -1; // where Shift + arrows began
    this.hovered = -1;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.end(false));
    canvas.addEventListener("pointerleave", () => this.over(-1));
    // A finger that lifts while it moves is a fling to Chromium, which then swallows the next tap as the one that
    // stops it; a stroke of paint is none. Two fingers are left to the browser, which zooms.
    const still = (/** @type {TouchEvent} */ event) => {
      if (this.paints && event.touches.length === 1 && event.cancelable) event.preventDefault();
    };
    canvas.addEventListener("touchmove", still, { passive: false });
    stage.on("task", (task) => { if (task !== "edit") this.choose("inspect"); });
  }

  /** @param {string} tool */
  choose(tool) {
    if (!TOOLS.includes(tool) || (this.stage.task !== "edit" && tool !== "inspect")) return;
    this.hands.stamp = -1;
    this.tool = tool;
    this.anchor = -1;
    // with a tool in hand a finger paints, without one it scrolls the page
    this.canvas.style.touchAction = tool === "inspect" ? "manipulation" : "pinch-zoom";
    this.stage.changed();
  }

  /** @param {string} size a number of cells, or "rectangle" */
  setBrush(size) {
    this.rectangle = size === "rectangle";
    if (!this.rectangle) this.size = Number(size);
    this.stage.changed();
  }

  get paints() {
    return this.tool !== "inspect";
  }

  /** Strokes are possible. */
  get able() {
    const { run, busy, variations } = this.stage;
    return this.paints && Boolean(run) && !busy && !variations.open;
  }

  /** The cells to outline: a rectangle being drawn, or what the brush would touch. @returns {number[]} */
  marked() {
    const { run, selected } = this.stage;
    if (!run || !this.paints) return [];
    if (this.stroke && this.rectangle) return between(this.stroke.from, this.stroke.last, run);
    if (this.anchor >= 0) return between(this.anchor, selected, run);
    if (this.hovered >= 0 && !this.rectangle && this.size > 1) return brush(this.hovered, this.size, run);
    return [];
  }

  // ---- mouse, pen and finger ---------------------------------------------------------------------------------

  /** @param {PointerEvent} event */
  down(event) {
    if (!event.isPrimary) return this.end(false); // a second finger: the hand wants to zoom, not to paint
    if (event.button > 0) return;
    this.canvas.focus({ preventScroll: true });
    const cell = cellUnder(this.canvas, event, this.stage.grid);
    if (cell < 0 || !this.able) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.anchor = -1;
    this.stroke = { from: cell, last: cell, first: true };
    this.begin();
    if (!this.rectangle) this.touch([cell]);
    this.redraw();
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (!event.isPrimary) return;
    const cell = cellUnder(this.canvas, event, this.stage.grid);
    if (this.stroke) {
      if (cell < 0 || cell === this.stroke.last) return;
      const from = this.stroke.last;
      this.stroke.last = cell;
      if (!this.rectangle) this.touch(way(from, cell, this.stage.run).slice(1));
      this.redraw();
    } else if (event.pointerType !== "touch" && cell !== this.hovered) {
      this.over(cell);
    }
  }

  /** @param {number} cell */
  over(cell) {
    this.hovered = cell;
    this.stage.emit("hover", cell);
    this.redraw();
  }

  /** @param {PointerEvent} event */
  up(event) {
    if (!event.isPrimary) return;
    if (this.stroke) {
      if (this.rectangle) this.hand(between(this.stroke.from, this.stroke.last, this.stage.run));
      this.end(true);
    } else if (this.stage.run && !this.paints) {
      this.stage.select(cellUnder(this.canvas, event, this.stage.run));
      this.stage.emit("reveal");
    }
  }

  /** What was painted stays if the stroke is `done`; one that was broken off is taken back. @param {boolean} done */
  end(done) {
    if (!this.stroke) return;
    this.stroke = null;
    if (done) return this.commit();
    this.stage.sheet.abandon();
    this.stage.look();
    this.stage.changed();
  }

  /** @param {number[]} cells of the way, each as broad as the brush */
  touch(cells) {
    this.hand([...new Set(cells.flatMap((cell) => brush(cell, this.size, this.stage.run)))]);
  }

  /** @param {number[]} cells */
  hand(cells) {
    this.hands.apply(this.tool, cells, this.stroke.first, this.stroke.from);
    this.stroke.first = false;
  }

  // ---- keyboard ----------------------------------------------------------------------------------------------

  /** Shift + arrows stretch a rectangle from where they began. @param {boolean} on */
  stretch(on) {
    if (!on || !this.paints) this.anchor = -1;
    else if (this.anchor < 0) this.anchor = this.stage.selected;
  }

  /** Space or Enter: the tool on the stretched rectangle, or on the brush at the selected cell. */
  press() {
    const { run, selected } = this.stage;
    if (selected < 0 || !this.able) return;
    const cells = this.anchor >= 0 ? between(this.anchor, selected, run) : brush(selected, this.size, run);
    this.begin();
    this.hands.apply(this.tool, cells, true, selected);
    this.anchor = -1;
    this.commit();
  }

  // ---- a stroke is one thing to undo ---------------------------------------------------------------------------

  begin() {
    this.stage.sheet.begin(this.stage.run, this.stage.shown);
  }

  commit() {
    this.stage.commit();
    if (this.tool === "choose" && this.hands.stamp < 0) this.stage.emit("reveal");
    this.redraw();
  }

  redraw() {
    this.stage.emit("draw");
  }
}
