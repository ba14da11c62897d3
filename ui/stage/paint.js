// @ts-check
// Draws one frame on the canvas: the carved picture, the stone still standing on it, and the marks of the chosen view.

import { isDark } from "../layout/dom.js";
import { MARK, STONE, veilColour } from "./colours.js";
import { MAPS } from "./overlays.js";
import { quarry } from "./stone.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./run.js").Frame} Frame */
/**
 * What to draw: step k of a run, or without a run the block of `grid`. `since` is the time in ms since this step came
 * up, null for no motion; `marks` (0 to 1) is how strong the frames of its changes are in the picture view; `tokens`
 * are those on the canvas and `draft` is what a hand changed of them, in the cells `changed`; `locks` holds -1 where
 * free; `hover`, `selected` and `marked` are cells to outline.
 * @typedef {{run: Run | null, k: number, grid: import("./cells.js").Grid, overlay: string, selected: number,
 *   hover: number, since: number | null, marks: number, tokens: Int32Array, draft: import("./sheet.js").Draft | null,
 *   changed: Set<number>, locks: Int32Array | null, marked: number[]}} View
 */

const REVEAL_MS = 340;
export const MARK_MS = 1000;

export class Painter {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.ctx = context(canvas);
    this.slab = document.createElement("canvas");
    this.slabKey = "";
    this.ground = document.createElement("canvas");
    this.groundKey = "";
  }

  /**
   * Matches the backing store to the size on screen: whole device pixels per cell keep the joints crisp.
   * @param {import("./cells.js").Grid} grid
   */
  fit({ rows, columns }) {
    const width = this.canvas.clientWidth || 512;
    const cell = Math.max(Math.round((width * (window.devicePixelRatio || 1)) / columns), 4);
    this.cell = cell;
    this.rows = rows;
    this.columns = columns;
    if (this.canvas.width !== cell * columns || this.canvas.height !== cell * rows) {
      this.canvas.width = cell * columns;
      this.canvas.height = cell * rows;
      this.canvas.parentElement?.style.setProperty("--cz-aspect", `${columns} / ${rows}`);
    }
    const theme = isDark() ? "dark" : "light";
    const key = `${theme} ${cell} ${rows} ${columns}`;
    if (key !== this.slabKey) {
      this.slab = quarry(rows, columns, cell, STONE[theme]);
      this.slabKey = key;
    }
  }

  /** @param {View} view */
  draw(view) {
    const { run, k } = view;
    const ctx = this.ctx;
    if (!run) {
      this.fit(view.grid);
      ctx.drawImage(this.slab, 0, 0);
      return;
    }
    this.fit(run);
    const frame = run.frames[k];
    const before = run.frames[Math.max(k - 1, 0)];
    const reveal = view.since === null ? 1 : Math.min(view.since / REVEAL_MS, 1);
    ctx.drawImage(this.still(view, frame), 0, 0);
    if (reveal < 1) {
      const left = (1 - reveal) ** 2;
      for (const cell of frame.set) this.stone(cell, left);
      if (before.image) for (const edit of frame.edited) this.patch(before.image, edit.at, left);
    }
    MAPS[view.overlay]?.(this, run, k, view.tokens, view.locks);
    if (view.overlay === "changes") this.veil(run, frame, view.tokens);
    const strength = view.overlay === "changes" ? 1 : view.overlay === "picture" ? view.marks : 0;
    if (strength > 0) {
      for (const cell of frame.set) if (!view.changed.has(cell)) this.ring(cell, MARK.set, strength, 0.055);
      for (const edit of frame.edited) if (!view.changed.has(edit.at)) this.ring(edit.at, MARK.edit, strength, 0.1);
    }
    for (const cell of view.changed) {
      // a cell masked by hand is stone like any other
      if (view.tokens[cell] !== run.maskId) this.byHand(cell, Boolean(view.draft?.pending.has(cell)));
    }
    if (view.locks) this.padlocks(run, view.locks);
    for (const cell of view.marked) this.outline(cell, 0.75);
    if (view.hover >= 0 && view.hover !== view.selected && !view.marked.length) this.outline(view.hover, 0.55);
    if (view.selected >= 0) this.outline(view.selected, 1);
  }

  /**
   * Picture, stones and shadows of step k: drawn once and kept, so that a moment of motion only adds to it.
   * @param {View} view @param {Frame} frame
   */
  still(view, frame) {
    const { run, k, tokens, draft } = view;
    const image = (draft && draft.image) || frame.image;
    const key = `${run.id} ${k} ${draft ? `${draft.id}.${draft.version}` : ""} ${Boolean(frame.image)} ${this.slabKey}`;
    if (key === this.groundKey) return this.ground;
    this.groundKey = key;
    this.ground.width = this.canvas.width;
    this.ground.height = this.canvas.height;
    const screen = this.ctx;
    this.ctx = context(this.ground);
    if (image) {
      this.ctx.imageSmoothingEnabled = true;
      this.ctx.imageSmoothingQuality = "high";
      this.ctx.drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
    } else {
      this.ctx.drawImage(this.slab, 0, 0);
    }
    for (let cell = 0; cell < run.cells; cell++) {
      if (tokens[cell] === run.maskId) this.stone(cell, 1);
    }
    this.ledges(run, tokens);
    this.ctx = screen;
    return this.ground;
  }

  /** Where a cell begins. @param {number} cell */
  at(cell) {
    return [(cell % this.columns) * this.cell, Math.floor(cell / this.columns) * this.cell];
  }

  /** @param {number} cell @param {number} alpha */
  stone(cell, alpha) {
    const [x, y] = this.at(cell);
    const c = this.cell;
    this.ctx.globalAlpha = alpha;
    this.ctx.drawImage(this.slab, x, y, c, c, x, y, c, c);
    this.ctx.globalAlpha = 1;
  }

  /** @param {HTMLImageElement} image @param {number} cell @param {number} alpha */
  patch(image, cell, alpha) {
    const [x, y] = this.at(cell);
    const scale = image.naturalWidth / this.canvas.width;
    const c = this.cell;
    this.ctx.globalAlpha = alpha;
    this.ctx.drawImage(image, x * scale, y * scale, c * scale, c * scale, x, y, c, c);
    this.ctx.globalAlpha = 1;
  }

  /**
   * Stone above or to the left of a carved cell throws a shadow into it: the picture lies deeper than the block.
   * @param {Run} run @param {Int32Array} tokens
   */
  ledges(run, tokens) {
    const masked = (/** @type {number} */ cell) => tokens[cell] === run.maskId;
    const ctx = this.ctx;
    const c = this.cell;
    const depth = c * 0.26;
    for (let cell = 0; cell < run.cells; cell++) {
      if (masked(cell)) continue;
      const [x, y] = this.at(cell);
      if (cell >= run.columns && masked(cell - run.columns)) {
        ctx.fillStyle = fade(ctx, x, y, x, y + depth);
        ctx.fillRect(x, y, c, depth);
      }
      if (cell % run.columns && masked(cell - 1)) {
        ctx.fillStyle = fade(ctx, x, y, x + depth, y);
        ctx.fillRect(x, y, depth, c);
      }
    }
  }

  /**
   * Cells are tinted whole in the colour that `colour` gives them; null leaves a cell as it is.
   * @param {Run} run @param {(cell: number) => string | null} colour @param {number} alpha
   */
  tint(run, colour, alpha) {
    const c = this.cell;
    this.ctx.globalAlpha = alpha;
    for (let cell = 0; cell < run.cells; cell++) {
      const fill = colour(cell);
      if (fill === null) continue;
      const [x, y] = this.at(cell);
      this.ctx.fillStyle = fill;
      this.ctx.fillRect(x, y, c, c);
    }
    this.ctx.globalAlpha = 1;
  }

  /**
   * A masked cell shows a dot, the best guess so far, so that the stone stays stone.
   * @param {Run} run @param {(cell: number) => string | null} colour
   */
  dots(run, colour) {
    const c = this.cell;
    for (let cell = 0; cell < run.cells; cell++) {
      const fill = colour(cell);
      if (fill === null) continue;
      const [x, y] = this.at(cell);
      this.ctx.fillStyle = fill;
      this.ctx.beginPath();
      this.ctx.arc(x + c / 2, y + c / 2, c * 0.2, 0, Math.PI * 2);
      this.ctx.fill();
    }
  }

  /** @param {number} cell @param {number} n */
  number(cell, n) {
    const [x, y] = this.at(cell);
    const ctx = this.ctx;
    this.ring(cell, MARK.edit, 1, 0.1);
    ctx.font = `600 ${Math.round(this.cell * 0.5)}px sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.lineWidth = Math.max(this.cell * 0.12, 2);
    ctx.strokeStyle = MARK.halo;
    ctx.strokeText(String(n), x + this.cell / 2, y + this.cell / 2);
    ctx.fillStyle = MARK.ink;
    ctx.fillText(String(n), x + this.cell / 2, y + this.cell / 2);
  }

  /**
   * A cell changed by hand has a broken line around it; until its picture is there, it is hatched.
   * @param {number} cell @param {boolean} pending
   */
  byHand(cell, pending) {
    const [x, y] = this.at(cell);
    const ctx = this.ctx;
    const c = this.cell;
    if (pending) {
      ctx.fillStyle = "rgba(250,248,244,.55)";
      ctx.fillRect(x, y, c, c);
      ctx.strokeStyle = MARK.ink;
      ctx.lineWidth = Math.max(c * 0.05, 1);
      ctx.beginPath();
      for (const t of [0.25, 0.5, 0.75, 1]) {
        ctx.moveTo(x + c * t, y);
        ctx.lineTo(x, y + c * t);
        ctx.moveTo(x + c, y + c * (t - 0.25));
        ctx.lineTo(x + c * (t - 0.25), y + c);
      }
      ctx.stroke();
    }
    const w = Math.max(c * 0.05, 1.5);
    ctx.lineWidth = w;
    for (const [colour, shift] of /** @type {[string, number][]} */ ([[MARK.halo, 0], [MARK.ink, c / 6]])) {
      ctx.setLineDash([c / 6, c / 6]);
      ctx.lineDashOffset = shift;
      ctx.strokeStyle = colour;
      ctx.strokeRect(x + w / 2, y + w / 2, c - w, c - w);
    }
    ctx.setLineDash([]);
  }

  /**
   * One line around each locked area, and a small padlock in the corner of every cell: the middle stays free to see.
   * @param {Run} run @param {Int32Array} locks
   */
  padlocks(run, locks) {
    const ctx = this.ctx;
    const c = this.cell;
    const on = (/** @type {number} */ cell) => locks[cell] >= 0;
    /** @type {[string, number][]} */
    const lines = [[MARK.ink, Math.max(c * 0.13, 3)], [MARK.lock, Math.max(c * 0.07, 1.5)]];
    for (const [colour, w] of lines) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = w;
      ctx.beginPath();
      for (let cell = 0; cell < run.cells; cell++) {
        if (!on(cell)) continue;
        const [x, y] = this.at(cell);
        const column = cell % run.columns;
        if (cell < run.columns || !on(cell - run.columns)) { ctx.moveTo(x, y); ctx.lineTo(x + c, y); }
        if (cell >= run.cells - run.columns || !on(cell + run.columns)) { ctx.moveTo(x, y + c); ctx.lineTo(x + c, y + c); }
        if (column === 0 || !on(cell - 1)) { ctx.moveTo(x, y); ctx.lineTo(x, y + c); }
        if (column === run.columns - 1 || !on(cell + 1)) { ctx.moveTo(x + c, y); ctx.lineTo(x + c, y + c); }
      }
      ctx.stroke();
    }
    for (let cell = 0; cell < run.cells; cell++) if (on(cell)) this.padlock(cell);
  }

  /** @param {number} cell */
  padlock(cell) {
    const [x, y] = this.at(cell);
    const ctx = this.ctx;
    const s = this.cell * 0.26;
    const [left, top] = [x + this.cell - s * 1.25, y + s * 0.5];
    ctx.lineWidth = Math.max(s * 0.16, 1);
    ctx.strokeStyle = MARK.ink;
    ctx.beginPath();
    ctx.arc(left + s / 2, top + s * 0.1, s * 0.28, Math.PI, 0);
    ctx.stroke();
    ctx.fillStyle = MARK.ink;
    ctx.fillRect(left, top + s * 0.1, s, s * 0.75);
    ctx.fillStyle = MARK.lock;
    ctx.fillRect(left + s * 0.42, top + s * 0.32, s * 0.16, s * 0.3);
  }

  /** What did not change steps back. @param {Run} run @param {Frame} frame @param {Int32Array} tokens */
  veil(run, frame, tokens) {
    const changed = new Set([...frame.set, ...frame.edited.map((e) => e.at)]);
    this.tint(run, (cell) => (changed.has(cell) || tokens[cell] === run.maskId ? null : veilColour()), 0.55);
  }

  /** @param {number} cell @param {string} colour @param {number} alpha @param {number} weight */
  ring(cell, colour, alpha, weight) {
    const [x, y] = this.at(cell);
    const ctx = this.ctx;
    const w = Math.max(this.cell * weight, 1.5);
    ctx.globalAlpha = alpha;
    ctx.lineWidth = w + 2;
    ctx.strokeStyle = MARK.halo;
    ctx.strokeRect(x + w / 2 + 1, y + w / 2 + 1, this.cell - w - 2, this.cell - w - 2);
    ctx.lineWidth = w;
    ctx.strokeStyle = colour;
    ctx.strokeRect(x + w / 2 + 1, y + w / 2 + 1, this.cell - w - 2, this.cell - w - 2);
    ctx.globalAlpha = 1;
  }

  /** @param {number} cell @param {number} alpha */
  outline(cell, alpha) {
    const [x, y] = this.at(cell);
    const ctx = this.ctx;
    const w = Math.max(Math.round(this.cell * 0.07), 2);
    ctx.globalAlpha = alpha;
    ctx.lineWidth = w * 2;
    ctx.strokeStyle = MARK.ink;
    ctx.strokeRect(x, y, this.cell, this.cell);
    ctx.lineWidth = w;
    ctx.strokeStyle = MARK.halo;
    ctx.strokeRect(x, y, this.cell, this.cell);
    ctx.globalAlpha = 1;
  }
}

/** @param {CanvasRenderingContext2D} ctx @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
function fade(ctx, x0, y0, x1, y1) {
  const gradient = ctx.createLinearGradient(x0, y0, x1, y1);
  gradient.addColorStop(0, "rgba(20,14,8,.42)");
  gradient.addColorStop(1, "rgba(20,14,8,0)");
  return gradient;
}

/** @param {HTMLCanvasElement} canvas */
function context(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
}
