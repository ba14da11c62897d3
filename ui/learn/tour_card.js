// @ts-check
// Where the card of the tour stands: beside what it points at, over nothing that it speaks of.

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box */

const GAP = 14; // between the card and what it points at
const EDGE = 10; // and the window's edge

/** Square pixels that two boxes share. @param {Box} a @param {Box} b */
export function shared(a, b) {
  const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return wide > 0 && high > 0 ? wide * high : 0;
}

/**
 * The place for a card that covers nothing of the target if there is one, and as little as can be of the others; of equal
 * places the first: right of the target, left of it, below, above, then the corners of the window.
 * @param {{width: number, height: number}} card @param {Box | null} target @param {Box[]} others
 * @param {{width: number, height: number}} view @param {boolean} narrow one column: the card is as wide as the window
 * @returns {{left: number, top: number}}
 */
export function placeFor({ width, height }, target, others, view, narrow) {
  const [x, y] = [view.width - width - EDGE, view.height - height - EDGE];
  const held = (/** @type {number} */ to, /** @type {number} */ most) => Math.max(Math.min(to, most), EDGE);
  const corners = narrow ? [[EDGE, y], [EDGE, EDGE]] : [[EDGE, y], [x, y], [EDGE, EDGE], [x, EDGE]];
  const near = !target || narrow ? [] : [
    [target.right + GAP, held(target.top, y)], [target.left - GAP - width, held(target.top, y)],
    [held(target.left, x), target.bottom + GAP], [held(target.left, x), target.top - GAP - height],
  ];
  const within = (/** @type {number} */ at, /** @type {number} */ most) => at >= EDGE && at <= Math.max(most, EDGE);
  const inside = (/** @type {number[]} */ [left, top]) => within(left, x) && within(top, y);
  const places = [...near, ...corners].filter(inside);
  const cost = (/** @type {number[]} */ [left, top]) => {
    const box = { left, top, right: left + width, bottom: top + height };
    // any cover of the target is worse than all of the others
    return (target ? shared(box, target) * 1000 : 0) + others.reduce((sum, other) => sum + shared(box, other), 0);
  };
  const [left, top] = places.reduce((best, one) => (cost(one) < cost(best) ? one : best), places[0] ?? [EDGE, EDGE]);
  return { left, top };
}
