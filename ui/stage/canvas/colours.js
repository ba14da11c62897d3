// @ts-check
// The colours of the canvas, and the maps from figures to colours.

import { isDark } from "../../layout/dom.js";

/** @typedef {import("./layers.js").Colour} Colour */

export const STONE = {
  light: { base: [214, 206, 194], joint: "rgba(92,80,64,.30)", high: "rgba(255,255,255,.62)", low: "rgba(86,72,54,.24)" },
  dark: { base: [74, 68, 61], joint: "rgba(0,0,0,.46)", high: "rgba(255,246,230,.16)", low: "rgba(0,0,0,.34)" },
};
export const MARK = { set: "#2f86d6", edit: "#e8671b", lock: "#ffd66b", halo: "rgba(255,255,255,.92)", ink: "rgba(24,20,16,.9)" };
/** @type {{set: Colour, locked: Colour}} */
export const MASK = { set: [243, 239, 232], locked: [43, 38, 33] };
// Cividis: its brightness rises steadily, so it reads the same with any colour vision.
const CIVIDIS = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
const SHADES = 256;

/** @type {Colour[]} */
const SCALE = Array.from({ length: SHADES }, (_, shade) => {
  const x = (shade / (SHADES - 1)) * (CIVIDIS.length - 1);
  const i = Math.min(Math.floor(x), CIVIDIS.length - 2);
  return /** @type {Colour} */ (CIVIDIS[i].map((c, j) => Math.round(c + (CIVIDIS[i + 1][j] - c) * (x - i))));
});

/** @param {number} p from 0 to 1 */
export function cividis(p) {
  return SCALE[Math.round(Math.min(Math.max(p, 0), 1) * (SHADES - 1))];
}

/**
 * The entropy in nats from where on a cell counts as all unsure: as unsure as among as many equal choices as the square
 * root of the vocabulary, half of what is possible. Hardly any cell comes near all of it, which would leave one colour.
 * @param {number} vocab
 */
export function entropyTop(vocab) {
  return Math.log(Math.max(vocab, 2)) / 2;
}

/** What lies over cells that step back. @returns {Colour} */
export function veilColour() {
  return isDark() ? [23, 21, 18] : [250, 248, 244];
}
