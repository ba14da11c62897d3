// @ts-check
// A closer look by wheel and by two fingers, and the way around in it: the point under the pointer, or between the fingers,
// stays where it is.

/** @typedef {{x: number, y: number}} Point */

const NOTCH = 1.2; // of the wheel: so much closer
const NOTCH_PX = 100; // what most browsers count for one
const MOST = 6; // notches that a browser may tell at once
const LINE_PX = 33; // and others tell in lines

/**
 * How much closer one turn of the wheel brings.
 * @param {{deltaY: number, deltaMode: number}} event
 */
export function turned({ deltaY, deltaMode }) {
  const pixels = deltaY * [1, LINE_PX, NOTCH_PX * 4][deltaMode];
  return NOTCH ** (-Math.max(Math.min(pixels, MOST * NOTCH_PX), -MOST * NOTCH_PX) / NOTCH_PX);
}

/** The middle of two fingers, and how far they are apart. @param {ArrayLike<{clientX: number, clientY: number}>} touches */
export function fingers(touches) {
  const [a, b] = [touches[0], touches[1]];
  return {
    x: (a.clientX + b.clientX) / 2,
    y: (a.clientY + b.clientY) / 2,
    apart: Math.max(Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), 1),
  };
}

/**
 * @param {import("../stage/stage.js").Stage} stage
 * @param {import("../stage/canvas/zoom.js").Zoom} zoom
 * @param {HTMLElement} pane the frame in which the grid grows
 */
export function gestures(stage, zoom, pane) {
  const fits = () => document.documentElement.scrollHeight <= window.innerHeight + 1;
  pane.addEventListener("wheel", (event) => {
    // Where a page can be scrolled the wheel scrolls it, until somebody edits, or has come closer already.
    const wanted = event.ctrlKey || event.metaKey || zoom.factor > 1 || stage.task === "edit" || fits();
    const by = turned(event);
    if (!wanted || event.shiftKey || !event.deltaY || (by < 1 && zoom.factor <= 1 && !event.ctrlKey)) return;
    event.preventDefault();
    zoom.around(zoom.factor * by, { x: event.clientX, y: event.clientY });
  }, { passive: false });

  // The middle button drags the grid around, as in every drawing program.
  /** @type {Point | null} */
  let held = null;
  pane.addEventListener("pointerdown", (event) => {
    if (event.button !== 1) return;
    event.preventDefault();
    pane.setPointerCapture(event.pointerId);
    held = { x: event.clientX, y: event.clientY };
  });
  pane.addEventListener("pointermove", (event) => {
    if (!held) return;
    zoom.pan(held.x - event.clientX, held.y - event.clientY);
    held = { x: event.clientX, y: event.clientY };
  });
  for (const name of ["pointerup", "pointercancel"]) pane.addEventListener(name, () => { held = null; });

  /** @type {{x: number, y: number, apart: number, factor: number} | null} */
  let pinch = null;
  pane.addEventListener("touchstart", (event) => {
    pinch = event.touches.length === 2 ? { ...fingers(event.touches), factor: zoom.factor } : null;
    if (pinch && event.cancelable) event.preventDefault();
  }, { passive: false });
  pane.addEventListener("touchmove", (event) => {
    if (!pinch || event.touches.length !== 2) return;
    if (event.cancelable) event.preventDefault();
    const now = fingers(event.touches);
    zoom.pan(pinch.x - now.x, pinch.y - now.y);
    zoom.around((pinch.factor * now.apart) / pinch.apart, now);
    Object.assign(pinch, { x: now.x, y: now.y });
  }, { passive: false });
  for (const name of ["touchend", "touchcancel"]) pane.addEventListener(name, () => { pinch = null; });
}
