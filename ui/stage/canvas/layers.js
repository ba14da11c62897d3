// @ts-check
// What is drawn in many cells at once. A grid may have 4,096 of them, and a call of the canvas for each is what takes the
// time: here the cells are pixels of a small map, drawn at the size of the grid, and a pattern shows through them.

/** @typedef {[red: number, green: number, blue: number]} Colour */
/** @typedef {(ctx: CanvasRenderingContext2D, cell: number) => void} Tile draws one cell of that many pixels, at 0, 0 */
/**
 * What shows through the cells: a pattern that is the same in each of them, or a picture of the whole grid.
 * @typedef {CanvasPattern | CanvasImageSource} Fill
 */

const WHITE = /** @type {Colour} */ ([255, 255, 255]);

export class Layers {
  constructor() {
    this.map = document.createElement("canvas"); // a pixel a cell
    this.scratch = document.createElement("canvas"); // as large as the grid on screen
    this.cell = 0;
    /** @type {Map<string, CanvasPattern>} */
    this.patterns = new Map();
    /** @type {ImageData | null} */
    this.pixels = null;
  }

  /** @param {import("../run/cells.js").Grid} grid @param {number} cell pixels across one */
  fit({ rows, columns }, cell) {
    if (this.map.width === columns && this.map.height === rows && this.cell === cell && this.pixels) return;
    this.cell = cell;
    Object.assign(this.map, { width: columns, height: rows });
    Object.assign(this.scratch, { width: columns * cell, height: rows * cell });
    this.pixels = context(this.map).createImageData(columns, rows);
    this.patterns.clear();
  }

  /**
   * The pattern of a tile, drawn once for a size of cells.
   * @param {string} name @param {Tile} tile
   */
  pattern(name, tile) {
    let made = this.patterns.get(name);
    if (!made) {
      const one = document.createElement("canvas");
      Object.assign(one, { width: this.cell, height: this.cell });
      tile(context(one), this.cell);
      made = context(this.scratch).createPattern(one, "repeat");
      this.patterns.set(name, made);
    }
    return made;
  }

  /**
   * Cells in the colour that `colour` gives each of them; null leaves one as it is. With a `shape` only what that covers.
   * @param {CanvasRenderingContext2D} ctx @param {(cell: number) => Colour | null} colour @param {number} alpha
   * @param {CanvasPattern | null} shape
   */
  tint(ctx, colour, alpha, shape = null) {
    const { map } = this;
    const box = this.plot((plot) => {
      for (let cell = 0; cell < map.width * map.height; cell++) {
        const given = colour(cell);
        if (given) plot(cell, given);
      }
    });
    if (!box) return;
    if (!shape) return this.put(ctx, map, box, 1, alpha);
    this.cut(box, "destination-in", shape);
    this.put(ctx, this.scratch, box, this.cell, alpha);
  }

  /**
   * The fill, within these cells alone.
   * @param {CanvasRenderingContext2D} ctx @param {Iterable<number>} cells @param {Fill} fill @param {number} alpha
   * @param {boolean} smooth
   */
  through(ctx, cells, fill, alpha = 1, smooth = true) {
    const box = this.plot((plot) => { for (const cell of cells) plot(cell, WHITE); });
    if (!box) return;
    this.cut(box, "source-in", fill, smooth);
    this.put(ctx, this.scratch, box, this.cell, alpha);
  }

  /**
   * The map made anew; the cells from where to where it holds something, null where it holds nothing.
   * @param {(plot: (cell: number, colour: Colour) => void) => void} each
   */
  plot(each) {
    const { data, width, height } = this.pixels;
    data.fill(0);
    let [left, top, right, bottom] = [width, height, -1, -1];
    each((cell, [red, green, blue]) => {
      const [x, y] = [cell % width, Math.floor(cell / width)];
      data[cell * 4] = red;
      data[cell * 4 + 1] = green;
      data[cell * 4 + 2] = blue;
      data[cell * 4 + 3] = 255;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    });
    if (right < 0) return null;
    context(this.map).putImageData(this.pixels, 0, 0);
    return { left, top, columns: right - left + 1, rows: bottom - top + 1 };
  }

  /**
   * The map at the size of the grid, cut by the fill or the fill by it.
   * @param {{left: number, top: number, columns: number, rows: number}} box @param {GlobalCompositeOperation} how
   * @param {Fill} fill @param {boolean} smooth
   */
  cut({ left, top, columns, rows }, how, fill, smooth = true) {
    const { map, scratch, cell } = this;
    const ctx = context(scratch);
    const place = /** @type {const} */ ([left * cell, top * cell, columns * cell, rows * cell]);
    ctx.save();
    ctx.beginPath();
    ctx.rect(...place);
    ctx.clip();
    ctx.clearRect(...place);
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(map, left, top, columns, rows, ...place);
    ctx.globalCompositeOperation = how;
    if (fill instanceof CanvasPattern) {
      ctx.fillStyle = fill;
      ctx.fillRect(...place);
    } else {
      ctx.imageSmoothingEnabled = smooth;
      ctx.drawImage(fill, 0, 0, scratch.width, scratch.height);
    }
    ctx.restore();
  }

  /**
   * @param {CanvasRenderingContext2D} ctx @param {HTMLCanvasElement} from
   * @param {{left: number, top: number, columns: number, rows: number}} box @param {number} unit its pixels a cell
   * @param {number} alpha
   */
  put(ctx, from, { left, top, columns, rows }, unit, alpha) {
    const c = this.cell;
    ctx.save();
    ctx.globalAlpha = alpha;
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(from, left * unit, top * unit, columns * unit, rows * unit, left * c, top * c, columns * c, rows * c);
    ctx.restore();
  }
}

/** @param {HTMLCanvasElement} canvas */
function context(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}
