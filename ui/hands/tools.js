// @ts-check
// Hands on the grid: which cells a pointer or a key means, with brush, rectangle, mouse, finger and keyboard. What is then
// done to those cells is the business of `Hands`.

import { between, brush, cellUnder, columnAndRow, way } from "../stage/run/cells.js";
import { TOOLS } from "./hands.js";
import { Mover } from "./mover.js";
import { alike } from "./wand.js";

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
    this.mover = new Mover(stage);
    this.brushes = { paint: "1", move: "rectangle" }; // to move something one draws a frame around it
    /** @type {{from: number, last: number, first: boolean, more: boolean} | null} `first` until a cell was touched */
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
    this.mover.drag = null;
    // with a tool in hand a finger paints, without one it scrolls the page; two fingers are the business of `gestures`
    this.canvas.style.touchAction = tool === "inspect" ? "pan-x pan-y" : "none";
    this.stage.changed();
  }

  /** @param {string} kind a number of cells, "rectangle" or "wand" */
  setBrush(kind) {
    this.brushes[this.moves ? "move" : "paint"] = kind;
    this.stage.changed();
  }

  get kind() {
    return this.brushes[this.moves ? "move" : "paint"];
  }

  get size() {
    return Number(this.kind) || 1;
  }

  get rectangle() {
    return this.kind === "rectangle";
  }

  get wand() {
    return this.kind === "wand";
  }

  get moves() {
    return this.tool === "move";
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
    const chosen = this.moves ? this.mover.outlined() : [];
    if (this.stroke && this.rectangle) return [...chosen, ...between(this.stroke.from, this.stroke.last, run)];
    if (this.anchor >= 0) return [...chosen, ...between(this.anchor, selected, run)];
    if (this.hovered >= 0 && this.size > 1 && !this.mover.drag) return [...chosen, ...brush(this.hovered, this.size, run)];
    return chosen;
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
    if (this.moves && this.mover.chosen.has(cell) && !event.shiftKey) {
      this.mover.drag = { from: cell, dx: 0, dy: 0 };
      return this.redraw();
    }
    this.stroke = { from: cell, last: cell, first: true, more: event.shiftKey };
    if (!this.moves) this.begin();
    if (this.wand) this.hand(this.like(cell));
    else if (!this.rectangle) this.touch([cell]);
    this.redraw();
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (!event.isPrimary) return;
    const cell = cellUnder(this.canvas, event, this.stage.grid);
    if (this.mover.drag) {
      this.drag(event);
    } else if (this.stroke) {
      if (cell < 0 || cell === this.stroke.last || this.wand) return;
      const from = this.stroke.last;
      this.stroke.last = cell;
      if (!this.rectangle) this.touch(way(from, cell, this.stage.run).slice(1));
      this.redraw();
    } else if (event.pointerType !== "touch" && cell !== this.hovered) {
      this.over(cell);
    }
  }

  /** How far the chosen cells are dragged, also beyond the edge. @param {PointerEvent} event */
  drag(event) {
    const { drag } = this.mover;
    const { columns, rows } = this.stage.grid;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = columnAndRow(drag.from, this.stage.grid);
    const dx = Math.floor(((event.clientX - box.left) / box.width) * columns) - x;
    const dy = Math.floor(((event.clientY - box.top) / box.height) * rows) - y;
    if (dx === drag.dx && dy === drag.dy) return;
    Object.assign(drag, { dx, dy });
    this.redraw();
  }

  /** @param {number} cell */
  over(cell) {
    this.hovered = cell;
    this.canvas.style.cursor = this.moves && this.mover.chosen.has(cell) ? "move" : "";
    this.stage.emit("hover", cell);
    this.redraw();
  }

  /** @param {PointerEvent} event */
  up(event) {
    if (!event.isPrimary) return;
    if (this.mover.drag) {
      const { dx, dy } = this.mover.drag;
      this.mover.drag = null;
      this.mover.move(dx, dy);
      this.redraw();
    } else if (this.stroke) {
      if (this.rectangle) this.hand(between(this.stroke.from, this.stroke.last, this.stage.run));
      this.end(true);
    } else if (this.stage.run && !this.paints) {
      this.stage.select(cellUnder(this.canvas, event, this.stage.run));
      this.stage.emit("reveal");
    }
  }

  /** What was painted stays if the stroke is `done`; one that was broken off is taken back. @param {boolean} done */
  end(done) {
    if (this.mover.drag) {
      this.mover.drag = null;
      this.redraw();
    }
    if (!this.stroke) return;
    this.stroke = null;
    if (done || this.moves) return this.commit();
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
    const { first, from, last, more } = this.stroke;
    const pressed = this.rectangle && from === last && !more && this.mover.chosen.size > 0;
    if (this.moves && pressed) this.mover.none();
    else if (this.moves) this.mover.choose(cells, more || !first || (!this.rectangle && !this.wand));
    else this.hands.apply(this.tool, cells, first, from);
    this.stroke.first = false;
  }

  /** What the wand takes: all that hangs together with a cell and looks like it. @param {number} cell */
  like(cell) {
    const { run, frame, draft } = this.stage;
    return alike(draft?.image ?? frame.image, cell, run);
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
    const stretched = this.anchor >= 0;
    const cells = stretched ? between(this.anchor, selected, run) : this.wand ? this.like(selected) : brush(selected, this.size, run);
    this.anchor = -1;
    if (this.moves) return this.mover.choose(cells, !stretched);
    this.begin();
    this.hands.apply(this.tool, cells, true, selected);
    this.commit();
  }

  // ---- a stroke is one thing to undo ---------------------------------------------------------------------------

  begin() {
    this.mover.settle();
    this.stage.sheet.begin(this.stage.run, this.stage.shown);
  }

  commit() {
    if (this.moves) return this.redraw();
    this.stage.commit();
    if (this.tool === "choose" && this.hands.stamp < 0) this.stage.emit("reveal");
    this.redraw();
  }

  redraw() {
    this.stage.emit("draw");
  }
}
