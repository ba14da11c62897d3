// @ts-check
// A cell cut out of a decoded picture, as it stood there among its neighbours.

import { make } from "../layout/dom.js";
import { columnAndRow } from "../stage/run/cells.js";

/** @typedef {import("../stage/run/run.js").Run} Run */

/**
 * Pixel for pixel; masked cells, and those whose picture is not there, are stone.
 * @param {HTMLCanvasElement} canvas @param {Run} run @param {number} cell
 * @param {{picture: HTMLImageElement | null, tokens: Int32Array, slab: HTMLCanvasElement}} of
 * @param {number} margin cells around the chosen one
 */
export function crop(canvas, run, cell, { picture, tokens, slab }, margin = 0) {
  const ctx = canvas.getContext("2d");
  const [x, y] = columnAndRow(cell, run);
  const size = canvas.width / (1 + 2 * margin);
  ctx.imageSmoothingEnabled = false;
  ctx.clearRect(0, 0, canvas.width, canvas.height);
  for (let dy = -margin; dy <= margin; dy++) {
    for (let dx = -margin; dx <= margin; dx++) {
      const [u, v] = [x + dx, y + dy];
      if (u < 0 || v < 0 || u >= run.columns || v >= run.rows) continue;
      const masked = tokens[v * run.columns + u] === run.maskId;
      const source = masked || !picture ? slab : picture;
      const [width, height] = [source.width / run.columns, source.height / run.rows];
      ctx.drawImage(source, u * width, v * height, width, height, (dx + margin) * size, (dy + margin) * size, size, size);
    }
  }
}

/** A cell after a step, small. @param {Run} run @param {number} k @param {number} cell @param {HTMLCanvasElement} slab */
export function patchAt(run, k, cell, slab, side = 32) {
  const canvas = make("canvas", { width: side, height: side, "aria-hidden": "true" });
  const frame = run.frames[k];
  crop(canvas, run, cell, { picture: frame.image, tokens: frame.tokens, slab });
  return canvas;
}

/** Old patch -> new patch of an edit at step k. @param {Run} run @param {number} k @param {number} cell @param {HTMLCanvasElement} slab */
export function beforeAndAfter(run, k, cell, slab, side = 32) {
  const arrow = make("span", { className: "cz-arrow", textContent: "→", "aria-hidden": "true" });
  const [old, now] = [k - 1, k].map((step) => patchAt(run, step, cell, slab, side));
  return make("span", { className: "cz-swap" }, old, arrow, now);
}
