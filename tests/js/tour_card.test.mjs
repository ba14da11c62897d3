import assert from "node:assert/strict";
import test from "node:test";

import { placeFor, shared } from "../../ui/learn/tour_card.js";

const CARD = { width: 340, height: 220 };
const DESK = { width: 1280, height: 720 };
const box = (left, top, width, height) => ({ left, top, right: left + width, bottom: top + height });
const covered = ({ left, top }, other, card = CARD) => shared(box(left, top, card.width, card.height), other);

test("two boxes share what they share", () => {
  assert.equal(shared(box(0, 0, 10, 10), box(5, 8, 10, 10)), 10);
  assert.equal(shared(box(0, 0, 10, 10), box(10, 0, 10, 10)), 0);
});

test("the card stands beside what it points at, inside the window, and over nothing else it speaks of", () => {
  const frame = box(700, 80, 560, 560);
  for (const target of [box(20, 20, 200, 40), box(20, 640, 600, 60), box(400, 300, 280, 40), frame]) {
    const others = target === frame ? [] : [frame];
    const at = placeFor(CARD, target, others, DESK, false);
    assert.equal(covered(at, target), 0);
    assert.equal(covered(at, frame), 0);
    assert.ok(at.left >= 10 && at.top >= 10 && at.left + 340 <= 1270 && at.top + 220 <= 710, JSON.stringify(at));
  }
});

test("in one column it is under what it points at, or above where that lies low", () => {
  const card = { width: 370, height: 220 };
  const phone = { width: 390, height: 844 };
  assert.deepEqual(placeFor(card, box(0, 20, 390, 390), [], phone, true), { left: 10, top: 614 });
  assert.deepEqual(placeFor(card, box(0, 700, 390, 60), [], phone, true), { left: 10, top: 10 });
});

test("a window without room still shows the whole card where it covers least", () => {
  const at = placeFor(CARD, box(0, 0, 400, 300), [], { width: 400, height: 300 }, false);
  assert.deepEqual(at, { left: 10, top: 70 });
});
