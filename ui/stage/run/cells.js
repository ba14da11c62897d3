// @ts-check
// Which cells of a grid are meant: by a place on screen, a brush, a rectangle, a stroke, an arrow key.

/** @typedef {{rows: number, columns: number}} Grid */

/**
 * The cell under a point, -1 outside. x and y are shares of the grid's width and height.
 * @param {number} x @param {number} y @param {Grid} grid
 */
export function cellAt(x, y, { rows, columns }) {
  const [u, v] = [Math.floor(x * columns), Math.floor(y * rows)];
  return u < 0 || v < 0 || u >= columns || v >= rows ? -1 : v * columns + u;
}

/**
 * The cell under the pointer.
 * @param {HTMLElement} canvas @param {{clientX: number, clientY: number}} event @param {Grid} grid
 */
export function cellUnder(canvas, event, grid) {
  const box = canvas.getBoundingClientRect();
  return cellAt((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, grid);
}

/** [column, row] @param {number} cell @param {Grid} grid */
export function columnAndRow(cell, { columns }) {
  return [cell % columns, Math.floor(cell / columns)];
}

/**
 * The cells under a square brush; an even one reaches right and down.
 * @param {number} cell @param {number} size @param {Grid} grid
 */
export function brush(cell, size, grid) {
  const [x, y] = columnAndRow(cell, grid);
  const low = -Math.floor((size - 1) / 2);
  const cells = [];
  for (let v = y + low; v < y + low + size; v++) {
    for (let u = x + low; u < x + low + size; u++) {
      if (u >= 0 && v >= 0 && u < grid.columns && v < grid.rows) cells.push(v * grid.columns + u);
    }
  }
  return cells;
}

/** The rectangle with these two corners. @param {number} a @param {number} b @param {Grid} grid */
export function between(a, b, grid) {
  const [[ax, ay], [bx, by]] = [columnAndRow(a, grid), columnAndRow(b, grid)];
  const cells = [];
  for (let y = Math.min(ay, by); y <= Math.max(ay, by); y++) {
    for (let x = Math.min(ax, bx); x <= Math.max(ax, bx); x++) cells.push(y * grid.columns + x);
  }
  return cells;
}

/**
 * A quick stroke skips cells: those on the straight way are meant too.
 * @param {number} a @param {number} b @param {Grid} grid
 */
export function way(a, b, grid) {
  const [[ax, ay], [bx, by]] = [columnAndRow(a, grid), columnAndRow(b, grid)];
  const n = Math.max(Math.abs(bx - ax), Math.abs(by - ay), 1);
  return Array.from({ length: n + 1 }, (_, i) => {
    return Math.round(ay + ((by - ay) * i) / n) * grid.columns + Math.round(ax + ((bx - ax) * i) / n);
  });
}

/**
 * The cell so many columns and rows further, held at the edges; from nowhere (-1) the middle of the grid.
 * @param {number} cell @param {number} dx @param {number} dy @param {Grid} grid
 */
export function moved(cell, dx, dy, grid) {
  const { rows, columns } = grid;
  if (cell < 0) return Math.floor(rows / 2) * columns + Math.floor(columns / 2);
  const [x, y] = columnAndRow(cell, grid);
  const held = (/** @type {number} */ to, /** @type {number} */ most) => Math.min(Math.max(to, 0), most - 1);
  return held(y + dy, rows) * columns + held(x + dx, columns);
}
