// @ts-check
// How a cell's attention is shared out among words and cells, layer by layer: unpacked, and put together.

import { unpack } from "../../stage/run/bytes.js";

/**
 * See `Lookups.attention` in ui/inspector/lookups.py.
 * @typedef {{error?: string, run: string, step: number, cell: number, names: string[], most: number[], words: string,
 *   rest: string, cells: string}} Told
 * @typedef {{words: number[], rest: number, cells: number[]}} Shares they add up to 1
 */

/** One layer, or with -1 the mean of those that read the prompt. @param {Told} told @param {number} layer @returns {Shares} */
export function sharesOf(told, layer) {
  const layers = layersOf(told);
  if (layer >= 0) return layers[layer];
  const reading = layers.filter(reads);
  const some = reading.length ? reading : layers;
  const mean = (/** @type {(shares: Shares) => number} */ of) => some.reduce((sum, one) => sum + of(one), 0) / some.length;
  return {
    words: told.names.map((_, i) => mean((one) => one.words[i])),
    rest: mean((one) => one.rest),
    cells: some[0].cells.map((_, i) => mean((one) => one.cells[i])),
  };
}

/** All layers, the first one first. @param {Told} told @returns {Shares[]} */
export function layersOf({ names, most, words, rest, cells }) {
  const [w, r, c] = [words, rest, cells].map((text) => unpack(text, Uint16Array));
  const length = c.length / most.length;
  return most.map((top, n) => {
    const real = (/** @type {Uint16Array} */ part) => Array.from(part, (one) => (one / 65535) * top);
    return {
      words: real(w.subarray(n * names.length, (n + 1) * names.length)),
      rest: (r[n] / 65535) * top,
      cells: real(c.subarray(n * length, (n + 1) * length)),
    };
  });
}

/** It sees the prompt at all. @param {Shares} shares */
export function reads({ words, rest }) {
  return rest > 0 || words.some((share) => share > 0);
}

/** @param {number[]} shares */
export const sum = (shares) => shares.reduce((all, share) => all + share, 0);
