// @ts-check
// The grid on which a visitor decides: stone with the model's guesses showing through, what is chosen in full, what is set.
// Mouse, pen, finger and keyboard on it.

import { isDark } from "../../layout/dom.js";
import { cividis, MARK, STONE } from "../../stage/canvas/colours.js";
import { Layers } from "../../stage/canvas/layers.js";
import { quarry } from "../../stage/canvas/stone.js";
import { dot, ring } from "../../stage/canvas/tiles.js";
import { cellUnder, moved } from "../../stage/run/cells.js";

/** @typedef {import("./choice.js").Choice} Choice */
/**
 * `image` is the picture so far and `guess` that of every drawn token; null while there is none.
 * @typedef {{grid: import("../../stage/run/cells.js").Grid, image: HTMLImageElement | null, guess: HTMLImageElement | null,
 *   choice: Choice, ghost: boolean}} Shown
 */

const MOST_SIDE = 2048;
const SHADES = 8; // of a guess, by how sure the model is
const [FAINTEST, CLEAREST] = [0.04, 0.66];
const ARROWS = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
});

export class Board {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(cell: number, on?: boolean) => void} press
   * @param {(cell: number) => void} look a cell is pointed at; -1 for none
   */
  constructor(canvas, press, look) {
    this.canvas = canvas;
    this.press = press;
    this.look = look;
    this.layers = new Layers();
    this.slab = document.createElement("canvas");
    this.slabKey = "";
    this.cursor = -1;
    /** @type {Shown | null} */
    this.shown = null;
    /** @type {{on: boolean, last: number} | null} */
    this.stroke = null;
    this.touch = false;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { this.stroke = null; });
    canvas.addEventListener("pointerleave", () => { if (!this.stroke) this.point(-1); });
    canvas.addEventListener("click", (event) => { if (this.touch) this.tap(event); });
    canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
    new MutationObserver(() => this.draw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  }

  // ---- hands -------------------------------------------------------------------------------------------------

  /** @param {PointerEvent} event */
  down(event) {
    this.touch = event.pointerType === "touch"; // a finger taps, and scrolls the page where it moves
    const cell = this.under(event);
    if (this.touch || event.button > 0 || cell < 0) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const on = !this.shown.choice.isOn(cell);
    this.stroke = { on, last: cell };
    this.point(cell);
    this.press(cell, on);
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (event.pointerType === "touch" || !this.shown) return;
    const cell = this.under(event);
    if (!this.stroke) return this.point(cell);
    const { last, on } = this.stroke;
    const { choice } = this.shown;
    if (cell < 0 || cell === last || choice.isMasked(cell) !== choice.isMasked(last)) return;
    this.stroke.last = cell;
    this.point(cell);
    this.press(cell, on);
  }

  /** @param {MouseEvent} event */
  tap(event) {
    const cell = this.under(event);
    if (cell < 0) return;
    this.point(cell);
    this.press(cell);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!this.shown || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = ARROWS[event.key];
    const enter = event.key === " " || event.key === "Enter";
    if (!step && !enter) return;
    event.preventDefault();
    event.stopPropagation();
    if (step) this.point(moved(this.cursor, ...step, this.shown.grid));
    else if (this.cursor >= 0) this.press(this.cursor);
  }

  /** @param {{clientX: number, clientY: number}} event */
  under(event) {
    return this.shown ? cellUnder(this.canvas, event, this.shown.grid) : -1;
  }

  /** @param {number} cell */
  point(cell) {
    if (cell === this.cursor) return;
    this.cursor = cell;
    this.look(cell);
    this.draw();
  }

  // ---- drawing -----------------------------------------------------------------------------------------------

  /** @param {Shown} shown */
  show(shown) {
    this.shown = shown;
    this.draw();
  }

  draw() {
    if (!this.shown || !this.canvas.clientWidth) return;
    const { grid, image, guess, choice, ghost } = this.shown;
    const c = this.fit(grid);
    const { canvas, layers, slab } = this;
    const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    ctx.imageSmoothingEnabled = true;
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(image || slab, 0, 0, canvas.width, canvas.height);
    const cells = [...choice.tokens.keys()];
    const [set, back, edit] = [new Set(choice.set), choice.back, choice.edit];
    const stone = cells.filter((cell) => choice.isMasked(cell));
    layers.through(ctx, stone, slab);
    const rest = stone.filter((cell) => !set.has(cell));
    if (guess) {
      if (ghost) this.guesses(ctx, rest, guess, choice);
      layers.through(ctx, set, guess);
    }
    if (!ghost) {
      const left = new Set(rest);
      const sure = (/** @type {number} */ cell) => (left.has(cell) ? cividis(choice.p[cell] / 65535) : null);
      layers.tint(ctx, sure, 1, layers.pattern("sure", dot));
    }
    layers.through(ctx, back, slab, 0.8);
    layers.through(ctx, back, layers.pattern("back", cross));
    layers.through(ctx, set, layers.pattern("set", ring(MARK.set, 0.07)));
    layers.through(ctx, edit, layers.pattern("edit", ring(MARK.edit, 0.1)));
    if (this.cursor >= 0) {
      const [x, y] = [(this.cursor % grid.columns) * c, Math.floor(this.cursor / grid.columns) * c];
      const w = Math.max(Math.round(c * 0.07), 2);
      for (const [colour, width] of /** @type {[string, number][]} */ ([[MARK.ink, w * 2], [MARK.halo, w]])) {
        Object.assign(ctx, { strokeStyle: colour, lineWidth: width });
        ctx.strokeRect(x, y, c, c);
      }
    }
    const counts = { set: set.size, back: back.size, edit: edit.length, masked: stone.length };
    for (const [name, n] of Object.entries(counts)) canvas.dataset[name] = String(n);
  }

  /**
   * A guess shows through the stone as far as the model is sure of it.
   * @param {CanvasRenderingContext2D} ctx @param {number[]} cells @param {HTMLImageElement} guess @param {Choice} choice
   */
  guesses(ctx, cells, guess, choice) {
    const shades = Array.from({ length: SHADES }, () => /** @type {number[]} */ ([]));
    for (const cell of cells) shades[Math.min(Math.floor((choice.p[cell] / 65536) * SHADES), SHADES - 1)].push(cell);
    shades.forEach((some, shade) => this.layers.through(ctx, some, guess, FAINTEST + (CLEAREST - FAINTEST) * (shade / (SHADES - 1))));
  }

  /** Whole device pixels a cell, as on the stage. @param {import("../../stage/run/cells.js").Grid} grid */
  fit({ rows, columns }) {
    const { canvas } = this;
    const wanted = Math.round((canvas.clientWidth * (window.devicePixelRatio || 1)) / columns);
    const c = Math.max(Math.min(wanted, Math.floor(MOST_SIDE / Math.max(rows, columns))), 4);
    const [width, height] = [c * columns, c * rows];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.layers.fit({ rows, columns }, c);
    const theme = isDark() ? "dark" : "light";
    const key = `${theme} ${c} ${rows} ${columns}`;
    if (key !== this.slabKey) this.slab = quarry(rows, columns, c, STONE[theme]);
    this.slabKey = key;
    return c;
  }
}

/** Goes back to stone. @param {CanvasRenderingContext2D} ctx @param {number} c */
function cross(ctx, c) {
  for (const [colour, width] of /** @type {[string, number][]} */ ([[MARK.halo, c * 0.2], [MARK.ink, c * 0.1]])) {
    Object.assign(ctx, { strokeStyle: colour, lineWidth: Math.max(width, 1), lineCap: "round" });
    ctx.beginPath();
    ctx.moveTo(c * 0.32, c * 0.32);
    ctx.lineTo(c * 0.68, c * 0.68);
    ctx.moveTo(c * 0.68, c * 0.32);
    ctx.lineTo(c * 0.32, c * 0.68);
    ctx.stroke();
  }
}
