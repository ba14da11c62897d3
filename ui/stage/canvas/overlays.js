// @ts-check
// Maps laid over the picture: what is masked, how sure the model is, how old a token is, how often it was edited.
// Cividis rises steadily in brightness, so every map reads the same with any colour vision; counts are also written out.

import { cividis, entropyTop, MASK, veilColour } from "./colours.js";

/** @typedef {import("../run/run.js").Run} Run */
/**
 * @typedef {(painter: import("./paint.js").Painter, run: Run, k: number, tokens: Int32Array,
 *   locks: Int32Array | null) => void} Map
 */

/** @type {Record<string, Map>} */
export const MAPS = {
  mask: (painter, run, _, tokens, locks) => {
    painter.tint((cell) => (tokens[cell] === run.maskId ? null : locks && locks[cell] >= 0 ? MASK.locked : MASK.set), 0.88);
  },
  confidence: (painter, run, k, tokens) => {
    const frame = run.frames[k];
    const colour = (/** @type {number} */ cell) => cividis(frame.p[cell] / 65535);
    painter.tint((cell) => (tokens[cell] === run.maskId ? null : colour(cell)), 0.94);
    if (frame.phase !== "start") painter.dots((cell) => (tokens[cell] === run.maskId ? colour(cell) : null));
  },
  entropy: (painter, run, k, tokens) => {
    const frame = run.frames[k];
    if (frame.phase === "start") return;
    const most = 1000 * entropyTop(run.maskId);
    const colour = (/** @type {number} */ cell) => cividis(frame.h[cell] / most);
    painter.tint((cell) => (tokens[cell] === run.maskId ? null : colour(cell)), 0.94);
    painter.dots((cell) => (tokens[cell] === run.maskId ? colour(cell) : null));
  },
  age: (painter, run, k, tokens) => {
    const born = run.born(k);
    painter.tint((cell) => (tokens[cell] === run.maskId ? null : cividis(born[cell] / Math.max(run.last, 1))), 0.94);
  },
  edits: (painter, run, k, tokens) => {
    const counts = run.editCounts(k);
    painter.tint((cell) => (tokens[cell] === run.maskId || counts[cell] ? null : veilColour()), 0.62);
    painter.numbers(counts);
  },
};
