// @ts-check
// Draws one frame on the canvas: the carved picture, the stone still standing on it, and the marks of the chosen view.

import { isDark } from "../../layout/dom.js";
import { MARK, STONE, veilColour } from "./colours.js";
import { Layers } from "./layers.js";
import { MAPS } from "./overlays.js";
import { quarry } from "./stone.js";
import { dot, hatched, padlock, ring, shadeFromAbove, shadeFromLeft } from "./tiles.js";

/** @typedef {import("../run/run.js").Run} Run */
/** @typedef {import("../run/run.js").Frame} Frame */
/**
 * What to draw: step k of a run, or without a run the block of `grid`. `since` is the time in ms since this step came
 * up, null for no motion; `marks` (0 to 1) is how strong the frames of its changes are, whatever the view; `tokens` are
 * those on the canvas and `draft` is what a hand changed of them, in the cells `changed`; `locks` holds -1 where
 * free; `hover`, `selected` and `marked` are cells to outline, `rings` those to ring; `differ` are those that differ from
 * the run beside.
 * @typedef {{run: Run | null, k: number, grid: import("../run/cells.js").Grid, overlay: string, selected: number,
 *   hover: number, since: number | null, marks: number, tokens: Int32Array, draft: import("../kept/sheet.js").Draft | null,
 *   changed: Set<number>, locks: Int32Array | null, marked: number[], rings?: number[], differ: Set<number> | null, sight?: Sight,
 *   ghost?: Ghost | null}} View
 *
 * How the picture is looked at: in its own pixels, with lines between the cells, without the stone that a hand put there.
 * @typedef {{pixels: boolean, lines: boolean, bare: boolean}} Sight
 *
 * Cells on their way: parts of a picture of the whole grid, drawn so many columns and rows from where they are in it.
 * @typedef {{picture: CanvasImageSource, cells: number[], dx: number, dy: number}} Ghost
 */

/** @type {Sight} */
const PLAIN = { pixels: false, lines: false, bare: false };
const REVEAL_MS = 340;
const LEAST_CELL = 4; // pixels across, whatever room there is
const MOST_SIDE = 4096; // pixels of the canvas: more would take hundreds of megabytes, and is not seen
const STILLS_BYTES = 48 * 2 ** 20;
const LEAST_FIGURE = 7; // pixels of a number that can still be read

export class Painter {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.ctx = context(canvas);
    this.layers = new Layers();
    this.slab = document.createElement("canvas");
    this.slabKey = "";
    /** @type {Map<string, HTMLCanvasElement>} stills by what they show, the longest unseen first */
    this.stills = new Map();
    this.cell = LEAST_CELL;
    this.rows = 1;
    this.columns = 1;
  }

  /**
   * Matches the backing store to the size on screen: whole device pixels per cell keep the joints crisp.
   * @param {import("../run/cells.js").Grid} grid
   */
  fit({ rows, columns }) {
    const width = this.canvas.clientWidth || 512;
    const wanted = Math.round((width * (window.devicePixelRatio || 1)) / columns);
    const cell = Math.max(Math.min(wanted, Math.floor(MOST_SIDE / Math.max(rows, columns))), LEAST_CELL);
    this.cell = cell;
    this.rows = rows;
    this.columns = columns;
    if (this.canvas.width !== cell * columns || this.canvas.height !== cell * rows) {
      this.canvas.width = cell * columns;
      this.canvas.height = cell * rows;
      this.canvas.parentElement?.style.setProperty("--cz-aspect", `${columns} / ${rows}`);
      const whole = /** @type {HTMLElement | null} */ (this.canvas.closest(".cz"));
      whole?.style.setProperty("--cz-ratio", String(columns / rows));
    }
    this.layers.fit({ rows, columns }, cell);
    const theme = isDark() ? "dark" : "light";
    const key = `${theme} ${cell} ${rows} ${columns}`;
    if (key !== this.slabKey) {
      this.slab = quarry(rows, columns, cell, STONE[theme]);
      this.slabKey = key;
      this.stills.clear();
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
      this.layers.through(ctx, frame.set, this.slab, left);
      if (before.image) this.layers.through(ctx, frame.edited.map((edit) => edit.at), before.image, left);
    }
    MAPS[view.overlay]?.(this, run, k, view.tokens, view.locks);
    if (view.overlay === "changes") this.veil(run, frame, view.tokens);
    // this view is about nothing else, so there the last step keeps them too
    const strength = view.overlay === "changes" ? 1 : view.marks;
    if (strength > 0) {
      const own = (/** @type {number} */ cell) => !view.changed.has(cell);
      this.mark("set", ring(MARK.set, 0.055), Array.from(frame.set).filter(own), strength);
      this.mark("edit", ring(MARK.edit, 0.1), frame.edited.map((edit) => edit.at).filter(own), strength);
    }
    if (view.differ) this.differences(view.differ);
    // a cell masked by hand is stone like any other
    const put = [...view.changed].filter((cell) => view.tokens[cell] !== run.maskId);
    this.mark("hatched", hatched, put.filter((cell) => view.draft?.pending.has(cell)));
    const hand = new Set(put);
    const w = Math.max(this.cell * 0.06, 1.5);
    this.around((cell) => hand.has(cell), [[MARK.halo, w], [MARK.ink, w]], this.ctx, this.cell / 6);
    if (view.locks) this.padlocks(view.locks);
    if (view.sight?.lines) this.joints();
    if (view.ghost) this.ghost(view.ghost);
    this.outline(view.marked, 0.75);
    if (view.hover >= 0 && view.hover !== view.selected && !view.marked.length) this.outline([view.hover], 0.55);
    if (view.selected >= 0) this.outline([view.selected], 1);
    for (const cell of view.rings ?? []) this.circle(cell);
  }

  /**
   * Picture, stones and shadows of step k: drawn once and kept, so that a moment of motion only adds to it, and a step
   * that is gone back to costs nothing.
   * @param {View} view @param {Frame} frame
   */
  still(view, frame) {
    const { run, k, tokens, draft, sight = PLAIN } = view;
    const image = (draft && draft.image) || frame.image;
    const seen = `${Boolean(frame.image)} ${sight.pixels} ${sight.bare}`;
    const key = `${run.id} ${k} ${draft ? `${draft.id}.${draft.version}` : ""} ${seen} ${this.slabKey}`;
    const kept = this.stills.get(key);
    if (kept) {
      this.stills.delete(key);
      this.stills.set(key, kept);
      return kept;
    }
    const { width, height } = this.canvas;
    const still = this.blank(width, height);
    this.stills.set(key, still);
    const ctx = context(still);
    if (image) {
      ctx.imageSmoothingEnabled = !sight.pixels;
      ctx.imageSmoothingQuality = image.naturalWidth > width ? "medium" : "high";
      ctx.drawImage(image, 0, 0, width, height);
    } else {
      ctx.drawImage(this.slab, 0, 0);
    }
    const stone = sight.bare && frame.image ? frame.tokens : tokens;
    this.layers.through(ctx, where(tokens, (token) => token === run.maskId), this.slab);
    if (stone !== tokens) this.lay(ctx, view, frame);
    this.ledges(ctx, run, stone);
    return still;
  }

  /**
   * The picture under what a hand has masked, with a line around it.
   * @param {CanvasRenderingContext2D} ctx @param {View} view @param {Frame} frame
   */
  lay(ctx, { run, tokens, sight = PLAIN }, frame) {
    const hidden = where(tokens, (token, cell) => token === run.maskId && frame.tokens[cell] !== run.maskId);
    this.layers.through(ctx, hidden, frame.image, 1, !sight.pixels);
    const inside = new Set(hidden);
    const w = Math.max(this.cell * 0.06, 1.5);
    this.around((cell) => inside.has(cell), [[MARK.halo, w * 2], [MARK.ink, w]], ctx);
  }

  /** Lines between the cells. */
  joints() {
    const { ctx, cell: c, rows, columns } = this;
    const lines = new Path2D();
    for (let x = 1; x < columns; x++) { lines.moveTo(x * c, 0); lines.lineTo(x * c, rows * c); }
    for (let y = 1; y < rows; y++) { lines.moveTo(0, y * c); lines.lineTo(columns * c, y * c); }
    for (const [colour, width] of /** @type {[string, number][]} */ ([["rgba(255,255,255,.5)", 2], ["rgba(24,20,16,.62)", 1]])) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = width;
      ctx.stroke(lines);
    }
  }

  /** @param {Ghost} ghost */
  ghost({ picture, cells, dx, dy }) {
    const { ctx, cell: c, rows, columns } = this;
    const image = /** @type {HTMLImageElement} */ (picture);
    const [w, h] = [(image.naturalWidth || image.width) / columns, (image.naturalHeight || image.height) / rows];
    ctx.imageSmoothingEnabled = true;
    for (const cell of cells) {
      const [x, y] = [cell % columns, Math.floor(cell / columns)];
      ctx.drawImage(image, x * w, y * h, w, h, (x + dx) * c, (y + dy) * c, c, c);
    }
  }

  /**
   * A canvas for one more still: a new one as long as there is room, then the longest unseen.
   * @param {number} width @param {number} height
   */
  blank(width, height) {
    const room = Math.max(Math.floor(STILLS_BYTES / (4 * width * height)), 1);
    const [oldest] = this.stills;
    if (!oldest || this.stills.size < room) return Object.assign(document.createElement("canvas"), { width, height });
    this.stills.delete(oldest[0]);
    return oldest[1];
  }

  /** Where a cell begins. @param {number} cell */
  at(cell) {
    return [(cell % this.columns) * this.cell, Math.floor(cell / this.columns) * this.cell];
  }

  /**
   * Stone above or to the left of a carved cell throws a shadow into it: the picture lies deeper than the block.
   * @param {CanvasRenderingContext2D} ctx @param {Run} run @param {Int32Array} tokens
   */
  ledges(ctx, run, tokens) {
    const { layers } = this;
    const masked = (/** @type {number} */ cell) => tokens[cell] === run.maskId;
    const below = where(tokens, (_, cell) => !masked(cell) && cell >= run.columns && masked(cell - run.columns));
    const right = where(tokens, (_, cell) => !masked(cell) && cell % run.columns > 0 && masked(cell - 1));
    layers.through(ctx, below, layers.pattern("above", shadeFromAbove));
    layers.through(ctx, right, layers.pattern("left", shadeFromLeft));
  }

  // ---- what maps and marks are drawn with -------------------------------------------------------------------

  /**
   * Cells are tinted whole in the colour that `colour` gives them; null leaves a cell as it is.
   * @param {(cell: number) => import("./layers.js").Colour | null} colour @param {number} alpha
   */
  tint(colour, alpha) {
    this.layers.tint(this.ctx, colour, alpha);
  }

  /**
   * A masked cell shows a dot, the best guess so far, so that the stone stays stone.
   * @param {(cell: number) => import("./layers.js").Colour | null} colour
   */
  dots(colour) {
    this.layers.tint(this.ctx, colour, 1, this.layers.pattern("dot", dot));
  }

  /**
   * The same mark in all these cells.
   * @param {string} name @param {import("./layers.js").Tile} tile @param {number[]} cells @param {number} alpha
   */
  mark(name, tile, cells, alpha = 1) {
    if (cells.length) this.layers.through(this.ctx, cells, this.layers.pattern(name, tile), alpha);
  }

  /** What did not change steps back. @param {Run} run @param {Frame} frame @param {Int32Array} tokens */
  veil(run, frame, tokens) {
    const changed = new Set([...frame.set, ...frame.edited.map((e) => e.at)]);
    this.tint((cell) => (changed.has(cell) || tokens[cell] === run.maskId ? null : veilColour()), 0.55);
  }

  /** What is the same in both runs steps far back, what differs is framed area by area. @param {Set<number>} differ */
  differences(differ) {
    this.tint((cell) => (differ.has(cell) ? null : veilColour()), 0.74);
    this.around((cell) => differ.has(cell), [[MARK.ink, Math.max(this.cell * 0.14, 3)], [MARK.halo, Math.max(this.cell * 0.06, 1.5)]]);
  }

  /** How often a cell was edited, where there is room for a figure. @param {Uint16Array} counts */
  numbers(counts) {
    const { ctx, layers } = this;
    if (this.cell * 0.5 < LEAST_FIGURE) return;
    for (const n of new Set(counts)) {
      const cells = where(counts, (one) => one === n);
      if (n) layers.through(ctx, cells, layers.pattern(`number ${n}`, (pen, c) => figure(pen, c, String(n))));
    }
  }

  /**
   * One line around each locked area, and a small padlock in the corner of every cell: the middle stays free to see.
   * @param {Int32Array} locks
   */
  padlocks(locks) {
    const c = this.cell;
    const on = (/** @type {number} */ cell) => locks[cell] >= 0;
    this.around(on, [[MARK.ink, Math.max(c * 0.13, Math.min(3, c * 0.2))], [MARK.lock, Math.max(c * 0.07, Math.min(1.5, c * 0.12))]]);
    this.mark("padlock", padlock, where(locks, (token) => token >= 0));
  }

  /** A line around these cells. @param {number[]} cells @param {number} alpha */
  outline(cells, alpha) {
    if (!cells.length) return;
    const w = Math.max(Math.round(this.cell * 0.07), 2);
    const inside = new Set(cells);
    this.ctx.globalAlpha = alpha;
    this.around((cell) => inside.has(cell), [[MARK.ink, w * 2], [MARK.halo, w]]);
    this.ctx.globalAlpha = 1;
  }

  /** A ring around a cell: round, so that it is not taken for the square of the inspected one. @param {number} cell */
  circle(cell) {
    const { ctx, cell: c } = this;
    const [x, y] = this.at(cell);
    const w = Math.max(Math.round(c * 0.08), 2);
    for (const [colour, width] of /** @type {[string, number][]} */ ([[MARK.ink, w * 2], [MARK.halo, w]])) {
      ctx.beginPath();
      ctx.arc(x + c / 2, y + c / 2, c / 2, 0, 2 * Math.PI);
      Object.assign(ctx, { strokeStyle: colour, lineWidth: width });
      ctx.stroke();
    }
  }

  /**
   * Lines along the edge of an area, each [colour, width], the first lowest.
   * @param {(cell: number) => boolean} on @param {[colour: string, width: number][]} lines
   * @param {CanvasRenderingContext2D} ctx @param {number} broken length of the pieces of the last line, 0 for a whole one
   */
  around(on, lines, ctx = this.ctx, broken = 0) {
    const { cell: c, rows, columns } = this;
    const edge = new Path2D();
    for (let cell = 0; cell < rows * columns; cell++) {
      if (!on(cell)) continue;
      const [x, y] = this.at(cell);
      const column = cell % columns;
      if (cell < columns || !on(cell - columns)) { edge.moveTo(x, y); edge.lineTo(x + c, y); }
      if (cell >= (rows - 1) * columns || !on(cell + columns)) { edge.moveTo(x, y + c); edge.lineTo(x + c, y + c); }
      if (column === 0 || !on(cell - 1)) { edge.moveTo(x, y); edge.lineTo(x, y + c); }
      if (column === columns - 1 || !on(cell + 1)) { edge.moveTo(x + c, y); edge.lineTo(x + c, y + c); }
    }
    ctx.lineCap = broken ? "butt" : "square";
    for (const [i, [colour, width]] of lines.entries()) {
      ctx.setLineDash(broken && i === lines.length - 1 ? [broken, broken] : []);
      ctx.strokeStyle = colour;
      ctx.lineWidth = width;
      ctx.stroke(edge);
    }
    ctx.setLineDash([]);
  }
}

/** The cells for which it is so. @param {ArrayLike<number>} values @param {(value: number, cell: number) => boolean} so */
function where(values, so) {
  const cells = [];
  for (let cell = 0; cell < values.length; cell++) if (so(values[cell], cell)) cells.push(cell);
  return cells;
}

/** A number in the middle of a cell. @param {CanvasRenderingContext2D} ctx @param {number} c @param {string} words */
function figure(ctx, c, words) {
  ctx.font = `600 ${Math.round(c * 0.5)}px sans-serif`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.lineWidth = Math.max(c * 0.12, 2);
  ctx.strokeStyle = MARK.halo;
  ctx.strokeText(words, c / 2, c / 2);
  ctx.fillStyle = MARK.ink;
  ctx.fillText(words, c / 2, c / 2);
}

/** @param {HTMLCanvasElement} canvas */
function context(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
}
