// @ts-check
// A round glass above the finger, which hides what it points at.

import { MARK } from "../stage/canvas/colours.js";

export class Loupe {
  /** @param {HTMLCanvasElement} canvas @param {HTMLCanvasElement} glass */
  constructor(canvas, glass) {
    this.canvas = canvas;
    this.glass = glass;
    /** @type {[number, number] | null} */
    this.at = null;
    const hide = () => { this.at = null; glass.hidden = true; };
    let alone = true; // one finger only
    canvas.addEventListener("pointerdown", (event) => {
      alone = event.isPrimary;
      if (alone) this.show(event);
      else hide();
    });
    canvas.addEventListener("pointermove", (event) => { if (alone) this.show(event); });
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) canvas.addEventListener(name, hide);
  }

  /** @param {PointerEvent} event */
  show(event) {
    if (event.pointerType !== "touch") return;
    this.at = [event.clientX, event.clientY];
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    if (!this.at) return;
    const [left, top] = this.at;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [left - box.left, top - box.top];
    const glass = this.glass;
    glass.hidden = false;
    const size = glass.offsetWidth;
    glass.style.left = `${Math.min(Math.max(left - size / 2, 0), window.innerWidth - size)}px`;
    glass.style.top = `${top - size - 28 < 0 ? top + 36 : top - size - 28}px`;
    const scale = this.canvas.width / box.width;
    const span = (size / 2.4) * scale;
    const ctx = /** @type {CanvasRenderingContext2D} */ (glass.getContext("2d"));
    ctx.imageSmoothingEnabled = false;
    ctx.fillStyle = "#857b6e";
    ctx.fillRect(0, 0, glass.width, glass.height);
    ctx.drawImage(this.canvas, x * scale - span / 2, y * scale - span / 2, span, span, 0, 0, glass.width, glass.height);
    ctx.strokeStyle = MARK.halo;
    ctx.lineWidth = 2;
    const middle = glass.width / 2;
    ctx.strokeRect(middle - 4, middle - 4, 8, 8);
  }
}
