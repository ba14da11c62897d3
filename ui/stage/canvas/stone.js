// @ts-check
// The uncarved block: joints, veins and grains of stone, the same for the same cell each time.

import { STONE } from "./colours.js";

/** @typedef {typeof STONE.light} Look */

/**
 * The same small number for the same place each time, in [0, 1).
 * @param {number} x @param {number} y @param {number} salt
 */
function grain(x, y, salt) {
  const n = Math.sin(x * 127.1 + y * 311.7 + salt * 74.7) * 43758.5453;
  return n - Math.floor(n);
}

/**
 * A block of rows x columns stones, each c pixels wide.
 * @param {number} rows @param {number} columns @param {number} c @param {Look} look
 */
export function quarry(rows, columns, c, look) {
  const slab = document.createElement("canvas");
  slab.width = c * columns;
  slab.height = c * rows;
  const ctx = /** @type {CanvasRenderingContext2D} */ (slab.getContext("2d"));
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const vein = Math.sin(x * 0.55 + y * 0.9) * 3 + Math.sin(x * 0.21 - y * 0.37 + 2) * 4;
      const shade = vein + (grain(x, y, 1) - 0.5) * 9;
      ctx.fillStyle = `rgb(${look.base.map((b) => Math.round(b + shade)).join(",")})`;
      ctx.fillRect(x * c, y * c, c, c);
      for (let i = 0; i < 7; i++) {
        ctx.fillStyle = grain(x, y, i + 20) > 0.5 ? look.low : look.high;
        ctx.globalAlpha = 0.35;
        const size = Math.max(c * 0.03, 1);
        ctx.fillRect((x + 0.1 + grain(x, y, i + 40) * 0.8) * c, (y + 0.1 + grain(x, y, i + 60) * 0.8) * c, size, size);
      }
      ctx.globalAlpha = 1;
      bevel(ctx, x * c, y * c, c, look);
    }
  }
  return slab;
}

/** @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} c @param {Look} look */
function bevel(ctx, x, y, c, look) {
  const w = Math.max(c * 0.05, 1);
  ctx.fillStyle = look.high;
  ctx.fillRect(x, y, c, w);
  ctx.fillRect(x, y, w, c);
  ctx.fillStyle = look.low;
  ctx.fillRect(x, y + c - w, c, w);
  ctx.fillRect(x + c - w, y, w, c);
  ctx.strokeStyle = look.joint;
  ctx.lineWidth = 1;
  ctx.strokeRect(x + 0.5, y + 0.5, c, c);
}
