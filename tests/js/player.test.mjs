import assert from "node:assert/strict";
import test from "node:test";

import { Player } from "../../ui/stage/time/player.js";

test("plays to the end, waits there while steps may come, and stops", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const tape = { position: 2, longest: 2, busy: true, go(k) { this.position = k; } };
  const player = new Player(tape, () => {});
  player.play();
  assert.equal(tape.position, 0); // from the end it begins anew
  t.mock.timers.tick(260 * 5);
  assert.deepEqual([tape.position, player.playing], [2, true]);
  tape.longest = 3;
  t.mock.timers.tick(260);
  assert.equal(tape.position, 3);
  tape.busy = false;
  t.mock.timers.tick(260);
  assert.equal(player.playing, false);
});

test("is faster at each press, also while it plays, and nothing plays without steps", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const tape = { position: 0, longest: 9, busy: false, go(k) { this.position = k; } };
  const player = new Player(tape, () => {});
  player.toggle();
  player.faster();
  assert.ok(player.playing);
  t.mock.timers.tick(260);
  assert.equal(tape.position, 2);
  for (const speed of [4, 0.5, 1]) { player.faster(); assert.equal(player.speed, speed); }
  player.toggle();
  tape.longest = 0;
  player.play();
  assert.ok(!player.playing);
});
