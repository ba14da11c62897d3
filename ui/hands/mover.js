// @ts-check
// Cells that are chosen together: moved, copied, brought from another picture. What moves leaves a hole, and a ring of cells
// around where it comes to lie is masked too, so that Repaint can join it to what is there. The cells hover until something
// else is done: moved again, they are taken from where they first were, and what lay under them comes back.

/** @typedef {import("../stage/kept/sheet.js").Draft} Draft */
/**
 * What hovers: `tokens` of the cells `cells`, so many columns and rows from where they were, over the tokens `base`. `own`
 * tells that they come from this very picture, `hole` that they left their place there, `bare` that no seam was masked;
 * `picture` is what they look like: a picture of the whole grid.
 * @typedef {{base: Int32Array, cells: number[], tokens: number[], dx: number, dy: number, own: boolean, hole: boolean,
 *   bare: boolean, picture: CanvasImageSource | null}} Float
 * @typedef {{cells: number[], tokens: number[], picture: CanvasImageSource | null, run: string}} Clip
 */

/**
 * The cells so many columns and rows further, -1 for each that would leave the grid.
 * @param {number[]} cells @param {number} dx @param {number} dy @param {import("../stage/run/cells.js").Grid} grid
 */
export function shifted(cells, dx, dy, { rows, columns }) {
  return cells.map((cell) => {
    const [x, y] = [(cell % columns) + dx, Math.floor(cell / columns) + dy];
    return x < 0 || y < 0 || x >= columns || y >= rows ? -1 : y * columns + x;
  });
}

/**
 * The cells around these, corners among them: where what was moved meets what was there.
 * @param {Set<number>} cells @param {import("../stage/run/cells.js").Grid} grid
 */
export function ring(cells, grid) {
  /** @type {Set<number>} */
  const out = new Set();
  for (const dy of [-1, 0, 1]) {
    for (const dx of [-1, 0, 1]) {
      for (const cell of shifted([...cells], dx, dy, grid)) if (cell >= 0 && !cells.has(cell)) out.add(cell);
    }
  }
  return out;
}

/**
 * All tokens of the grid with what hovers in its place.
 * @param {Float} float @param {import("../stage/run/cells.js").Grid} grid @param {number} maskId
 * @param {(cell: number) => boolean} locked cells that stay, and are neither hole nor seam
 */
export function placed(float, grid, maskId, locked = () => false) {
  const { base, cells, tokens, dx, dy, own, hole, bare } = float;
  const out = Int32Array.from(base);
  const there = shifted(cells, dx, dy, grid);
  const away = dx !== 0 || dy !== 0;
  if (hole && away) for (const cell of cells) if (!locked(cell)) out[cell] = maskId;
  if (!bare && (away || !own)) {
    const inside = new Set(there.filter((cell) => cell >= 0));
    for (const cell of ring(inside, grid)) if (!locked(cell)) out[cell] = maskId;
  }
  there.forEach((cell, i) => { if (cell >= 0 && !locked(cell)) out[cell] = tokens[i]; });
  return out;
}

export class Mover {
  /** @param {import("../stage/stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** @type {Set<number>} */
    this.chosen = new Set();
    /** @type {WeakMap<Draft, Float>} which states of the canvas have something hovering; so undo knows it too */
    this.floats = new WeakMap();
    /** @type {Float | null} of the state before */
    this.before = null;
    /** @type {Clip | null} */
    this.clip = null;
    this.copies = false; // what is moved stays where it was, too
    this.bare = false; // without a masked seam
    /** @type {{from: number, dx: number, dy: number} | null} a drag under way */
    this.drag = null;
    stage.on("edit", () => this.follow());
    stage.on("run", () => { this.chosen = new Set(); this.before = this.drag = null; });
  }

  /** @returns {Float | null} */
  get float() {
    const { draft } = this.stage;
    return (draft && this.floats.get(draft)) || null;
  }

  /** Undo and redo bring the choice back with the tokens. */
  follow() {
    const { float, before, stage } = this;
    if (float) this.chosen = this.lying(float);
    else if (before && before.own && stage.tokens?.every((token, cell) => token === before.base[cell])) this.chosen = new Set(before.cells);
    this.before = float;
  }

  /** Where it lies. @param {Float} float */
  lying({ cells, dx, dy }) {
    return new Set(shifted(cells, dx, dy, this.stage.grid).filter((cell) => cell >= 0));
  }

  // ---- which cells ---------------------------------------------------------------------------------------------

  /** @param {number[]} cells @param {boolean} more besides those chosen before */
  choose(cells, more) {
    this.chosen = new Set(more ? [...this.chosen, ...cells] : cells);
    this.settle();
    this.stage.changed();
  }

  all() {
    const { rows, columns } = this.stage.grid;
    this.choose([...Array(rows * columns).keys()], false);
  }

  invert() {
    const { rows, columns } = this.stage.grid;
    this.choose([...Array(rows * columns).keys()].filter((cell) => !this.chosen.has(cell)), false);
  }

  none() {
    this.choose([], false);
  }

  /** What hovers lies still: it is no longer taken from where it was. */
  settle() {
    const { draft } = this.stage;
    if (draft) this.floats.delete(draft);
    this.before = null;
  }

  /** The cells to outline, also while they are dragged. */
  outlined() {
    const { drag, float, stage } = this;
    const cells = drag && float ? float.cells : [...this.chosen];
    const [dx, dy] = drag ? [drag.dx + (float?.dx ?? 0), drag.dy + (float?.dy ?? 0)] : [0, 0];
    return shifted(cells, dx, dy, stage.grid).filter((cell) => cell >= 0);
  }

  /** What a drag carries, as the canvas draws it. */
  get ghost() {
    const float = this.drag && this.lifted();
    if (!float || !float.picture) return null;
    const { picture, cells, dx, dy } = float;
    return { picture, cells, dx: dx + this.drag.dx, dy: dy + this.drag.dy };
  }

  // ---- moved ---------------------------------------------------------------------------------------------------

  /** What hovers, or else the chosen cells as they stand; stone stays where it is. @returns {Float | null} */
  lifted() {
    const { float, stage } = this;
    if (float) return float;
    const { run, tokens } = stage;
    const cells = run ? [...this.chosen].filter((cell) => tokens[cell] !== run.maskId) : [];
    if (!cells.length) return null;
    return {
      base: Int32Array.from(tokens), cells, tokens: cells.map((cell) => tokens[cell]), dx: 0, dy: 0, own: true,
      hole: !this.copies, bare: this.bare, picture: stage.draft?.image ?? stage.frame.image,
    };
  }

  /** @param {number} dx columns @param {number} dy rows @param {boolean} joins one thing to undo with the move before */
  move(dx, dy, joins = false) {
    const float = this.lifted();
    if (!float || (!dx && !dy)) return false;
    return this.place({ ...float, dx: float.dx + dx, dy: float.dy + dy }, joins && Boolean(this.float));
  }

  /** As the two switches stand now. @param {Float} given @param {boolean} joins */
  place(given, joins = false) {
    const float = { ...given, hole: given.own && !this.copies, bare: this.bare };
    const { stage } = this;
    if (!stage.free || ![...this.lying(float)].length) return false;
    const { run, shown, sheet } = stage;
    const tokens = placed(float, run, run.maskId, (cell) => sheet.isLocked(cell));
    const old = sheet.draft(run, shown);
    sheet.begin(run, shown);
    sheet.put(run, shown, Array.from(tokens, (token, cell) => [cell, token]));
    const { draft } = stage;
    if (draft && draft !== old) this.floats.set(draft, float);
    this.chosen = this.lying(float);
    if (joins) sheet.join();
    stage.commit();
    this.before = this.float;
    stage.changed();
    return true;
  }

  /** The same again with another choice of hole and seam. */
  again() {
    const { float } = this;
    if (float) this.place(float, true);
    else this.stage.changed();
  }

  // ---- from one picture to another -----------------------------------------------------------------------------

  copy() {
    const { stage } = this;
    const float = this.lifted();
    if (!float) return 0;
    const there = shifted(float.cells, float.dx, float.dy, stage.grid);
    const kept = [...there.keys()].filter((i) => there[i] >= 0);
    this.clip = {
      cells: kept.map((i) => there[i]), tokens: kept.map((i) => float.tokens[i]), run: stage.run.id,
      picture: stage.draft?.image ?? stage.frame.image,
    };
    stage.say(`${kept.length} cells copied. Choose another picture of the shelf, or stay here, and paste.`);
    stage.changed();
    return kept.length;
  }

  paste() {
    const { stage, clip } = this;
    if (!clip || !stage.free) return false;
    stage.choose("edit");
    return this.place({ ...clip, base: Int32Array.from(stage.tokens), dx: 0, dy: 0, own: false, hole: false, bare: this.bare });
  }

  /** Masks the chosen cells. */
  mask() {
    const { stage } = this;
    stage.change(() => {
      const { run, shown } = stage;
      stage.sheet.put(run, shown, [...this.chosen].map((cell) => [cell, run.maskId]));
    });
  }
}
