// @ts-check
// The wand: from one cell to all that hang together with it and look like it. Looks are the mean colours of the cells, read
// from the picture, so that it means the same whatever the tokens of a model are.

const NEAR = 34; // of 255, between the mean colours of the first cell and another

/**
 * The cells that hang together with `cell` by their sides and whose colour is near its own.
 * @param {ArrayLike<number>} colours RGBA of each cell @param {number} cell @param {import("../stage/run/cells.js").Grid} grid
 * @param {number} near
 */
export function flood(colours, cell, { rows, columns }, near = NEAR) {
  const apart = (/** @type {number} */ other) => {
    return Math.max(...[0, 1, 2].map((i) => Math.abs(colours[4 * other + i] - colours[4 * cell + i])));
  };
  const found = new Set([cell]);
  for (const one of found) {
    const x = one % columns;
    const next = [x > 0 ? one - 1 : -1, x < columns - 1 ? one + 1 : -1, one - columns, one + columns];
    for (const other of next) if (other >= 0 && other < rows * columns && apart(other) <= near) found.add(other);
  }
  return [...found];
}

/**
 * The cells like this one in a picture of the whole grid; itself alone while there is no picture.
 * @param {CanvasImageSource | null} picture @param {number} cell @param {import("../stage/run/cells.js").Grid} grid
 */
export function alike(picture, cell, grid) {
  if (!picture) return [cell];
  const { rows, columns } = grid;
  const small = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
  const ctx = /** @type {CanvasRenderingContext2D} */ (small.getContext("2d", { willReadFrequently: true }));
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(picture, 0, 0, columns, rows);
  return flood(ctx.getImageData(0, 0, columns, rows).data, cell, grid);
}
