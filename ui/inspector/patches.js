// @ts-check
// Decoded patches of tokens as the server sends them: base64 of uint8 [side, side, 3].

import { make } from "../layout/dom.js";
import { bytesOf } from "../stage/run/bytes.js";

/**
 * A button with one decoded patch, pixel for pixel, and a line under it.
 * @param {string} coded @param {string} words @param {Record<string, any>} has
 */
export function patchButton(coded, words, has) {
  return make("button", { className: "cz-tile", ...has }, patchCanvas(coded), make("span", { textContent: words }));
}

/** One decoded patch, pixel for pixel. @param {string} coded */
export function patchCanvas(coded) {
  const bytes = bytesOf(coded);
  const side = Math.round(Math.sqrt(bytes.length / 3));
  const canvas = make("canvas", { width: side, height: side, "aria-hidden": "true" });
  const image = new ImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    image.data.set(bytes.subarray(i * 3, i * 3 + 3), i * 4);
    image.data[i * 4 + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
