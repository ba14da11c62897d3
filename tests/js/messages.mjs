// Runs as the server sends them, small enough to see through: a grid of 2 x 3 cells, eight tokens, mask id 8.

import { pack } from "../../ui/stage/run/bytes.js";

export const GRID = [2, 3];
export const MASK = 8;

/** One step: `tokens` of all cells, the cells `set`, the edits [[cell, from, to], ...]. */
export function step(k, tokens, { set = [], edited = [], phase = k ? "unmask" : "start", p = 0.5, locked = [] } = {}) {
  const cells = tokens.length;
  return {
    k, phase, ms: 100 * k, image: "",
    tokens: pack(tokens, Int32Array),
    set: pack(set, Uint16Array),
    edited: pack(edited.flat(), Int32Array),
    p: pack(Array(cells).fill(Math.round(p * 65535)), Uint16Array),
    h: pack(Array(cells).fill(1500), Uint16Array),
    locked: pack(Array.from({ length: cells }, (_, cell) => Number(locked.includes(cell))), Uint8Array),
  };
}

const SETTINGS = { steps: 2, guidance: 3, edit: "overwrite", temperature: 0.8 };

/** A message of a run of two steps and one edit. */
export function message(changes = {}) {
  return {
    v: 1, run: "r1", state: "done", role: "main", kind: "generate", seed: 7, prompt: "a cat", settings: SETTINGS,
    grid: GRID, vocab: MASK, planned: 2, parent: null, prefix: 0, ground: false,
    frames: [
      step(0, [8, 8, 8, 8, 8, 8]),
      step(1, [1, 2, 8, 8, 8, 8], { set: [0, 1] }),
      step(2, [1, 5, 3, 3, 3, 3], { set: [2, 3, 4, 5], edited: [[1, 2, 5]], p: 0.9 }),
    ],
    ...changes,
  };
}
