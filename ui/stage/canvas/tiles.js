// @ts-check
// The marks of one cell, drawn at 0, 0 in `c` pixels a side; see `Layers.pattern`. Lines keep their width where cells are
// large, and leave most of the cell free where they are small.

import { MARK } from "./colours.js";

/** @typedef {CanvasRenderingContext2D} Ctx */

const DEPTH = 0.26; // of a cell, that the stone's shadow reaches into the next

/**
 * A frame within the cell, with a light one on either side.
 * @param {string} colour @param {number} weight its width as a share of the cell
 * @returns {import("./layers.js").Tile}
 */
export function ring(colour, weight) {
  return (ctx, c) => {
    const w = Math.max(c * weight, Math.min(1.5, c * 0.12));
    const halo = Math.min(1, c * 0.06);
    const box = /** @type {const} */ ([w / 2 + halo, w / 2 + halo, c - w - 2 * halo, c - w - 2 * halo]);
    ctx.lineWidth = w + 2 * halo;
    ctx.strokeStyle = MARK.halo;
    ctx.strokeRect(...box);
    ctx.lineWidth = w;
    ctx.strokeStyle = colour;
    ctx.strokeRect(...box);
  };
}

/** The best guess so far. @param {Ctx} ctx @param {number} c */
export function dot(ctx, c) {
  ctx.beginPath();
  ctx.arc(c / 2, c / 2, c * 0.2, 0, Math.PI * 2);
  ctx.fill();
}

/** Until the picture of what a hand changed is there. @param {Ctx} ctx @param {number} c */
export function hatched(ctx, c) {
  ctx.fillStyle = "rgba(250,248,244,.55)";
  ctx.fillRect(0, 0, c, c);
  ctx.strokeStyle = MARK.ink;
  ctx.lineWidth = Math.max(c * 0.05, Math.min(1, c * 0.08));
  ctx.beginPath();
  for (const t of [0.25, 0.5, 0.75, 1]) {
    ctx.moveTo(c * t, 0);
    ctx.lineTo(0, c * t);
    ctx.moveTo(c, c * (t - 0.25));
    ctx.lineTo(c * (t - 0.25), c);
  }
  ctx.stroke();
}

/** A small padlock in the corner: the middle stays free to see. @param {Ctx} ctx @param {number} c */
export function padlock(ctx, c) {
  const s = c * 0.26;
  const [left, top] = [c - s * 1.25, s * 0.5];
  ctx.lineWidth = Math.max(s * 0.16, Math.min(1, s * 0.3));
  ctx.strokeStyle = MARK.ink;
  ctx.beginPath();
  ctx.arc(left + s / 2, top + s * 0.1, s * 0.28, Math.PI, 0);
  ctx.stroke();
  ctx.fillStyle = MARK.ink;
  ctx.fillRect(left, top + s * 0.1, s, s * 0.75);
  ctx.fillStyle = MARK.lock;
  ctx.fillRect(left + s * 0.42, top + s * 0.32, s * 0.16, s * 0.3);
}

/** The shadow of stone that stands above. @param {Ctx} ctx @param {number} c */
export function shadeFromAbove(ctx, c) {
  ctx.fillStyle = fade(ctx, 0, c * DEPTH);
  ctx.fillRect(0, 0, c, c * DEPTH);
}

/** And of stone to the left. @param {Ctx} ctx @param {number} c */
export function shadeFromLeft(ctx, c) {
  ctx.fillStyle = fade(ctx, c * DEPTH, 0);
  ctx.fillRect(0, 0, c * DEPTH, c);
}

/** @param {Ctx} ctx @param {number} x @param {number} y */
function fade(ctx, x, y) {
  const gradient = ctx.createLinearGradient(0, 0, x, y);
  gradient.addColorStop(0, "rgba(20,14,8,.42)");
  gradient.addColorStop(1, "rgba(20,14,8,0)");
  return gradient;
}
