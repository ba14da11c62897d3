// @ts-check
// Whoever presses Generate wants to see the picture: where it lies outside the window (a page at 200 %, a small phone on its
// side), the page moves to it.

const SEEN = 0.5; // of its height, that is sight enough
const ABOVE_PX = 8;

/** The share of a box that lies in the window. @param {{top: number, bottom: number}} box @param {number} height of the window */
export function inSight({ top, bottom }, height) {
  return Math.max(Math.min(bottom, height) - Math.max(top, 0), 0) / Math.max(Math.min(bottom - top, height), 1);
}

/** @param {import("../stage/stage.js").Stage} stage @param {HTMLElement} canvas */
export function insight(stage, canvas) {
  stage.on("ask", () => {
    const frame = canvas.closest(".cz-frame") ?? canvas;
    const box = frame.getBoundingClientRect();
    if (!box.height || inSight(box, window.innerHeight) >= SEEN) return;
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    window.scrollBy({ top: box.top - ABOVE_PX, behavior: calm ? "auto" : "smooth" });
  });
}
