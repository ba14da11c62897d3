// @ts-check
// Maps laid over the picture: what is masked, how sure the model is, how old a token is, how often it was edited.
// Cividis rises steadily in brightness, so every map reads the same with any colour vision; counts are also written out.

import { cividis, ENTROPY_TOP, veilColour } from "./colours.js";

/** @typedef {import("./run.js").Run} Run */
/**
 * @typedef {(painter: import("./paint.js").Painter, run: Run, k: number, tokens: Int32Array,
 *   locks: Int32Array | null) => void} Map
 */

/** @type {Record<string, Map>} */
export const MAPS = {
  mask: (painter, run, _, tokens, locks) => {
    painter.tint(run, (cell) => (tokens[cell] === run.maskId ? null : locks && locks[cell] >= 0 ? "#2b2621" : "#f3efe8"), 0.88);
  },
  confidence: (painter, run, k, tokens) => {
    const frame = run.frames[k];
    const colour = (/** @type {number} */ cell) => cividis(frame.p[cell] / 65535);
    painter.tint(run, (cell) => (tokens[cell] === run.maskId ? null : colour(cell)), 0.94);
    if (frame.phase !== "start") painter.dots(run, (cell) => (tokens[cell] === run.maskId ? colour(cell) : null));
  },
  entropy: (painter, run, k, tokens) => {
    const frame = run.frames[k];
    if (frame.phase === "start") return;
    const colour = (/** @type {number} */ cell) => cividis(frame.h[cell] / 1000 / ENTROPY_TOP);
    painter.tint(run, (cell) => (tokens[cell] === run.maskId ? null : colour(cell)), 0.94);
    painter.dots(run, (cell) => (tokens[cell] === run.maskId ? colour(cell) : null));
  },
  age: (painter, run, k, tokens) => {
    const born = run.born(k);
    painter.tint(run, (cell) => (tokens[cell] === run.maskId ? null : cividis(born[cell] / Math.max(run.last, 1))), 0.94);
  },
  edits: (painter, run, k, tokens) => {
    const counts = run.editCounts(k);
    painter.tint(run, (cell) => (tokens[cell] === run.maskId || counts[cell] ? null : veilColour()), 0.62);
    counts.forEach((n, cell) => { if (n) painter.number(cell, n); });
  },
};
