import assert from "node:assert/strict";
import test from "node:test";

import { between, brush, cellAt, moved, way } from "../../ui/stage/run/cells.js";

const WIDE = { rows: 2, columns: 8 };
const TALL = { rows: 5, columns: 3 };

test("a point means the cell it lies in, and none outside", () => {
  assert.equal(cellAt(0, 0, WIDE), 0);
  assert.equal(cellAt(0.999, 0.999, WIDE), 15);
  assert.equal(cellAt(0.5, 0.5, WIDE), 12);
  for (const [x, y] of [[-0.01, 0.5], [1, 0.5], [0.5, 1], [0.5, -0.01]]) assert.equal(cellAt(x, y, TALL), -1);
});

test("every cell of every grid is found at its middle", () => {
  for (const grid of [WIDE, TALL, { rows: 64, columns: 64 }, { rows: 1, columns: 1 }]) {
    for (let cell = 0; cell < grid.rows * grid.columns; cell++) {
      const [x, y] = [cell % grid.columns, Math.floor(cell / grid.columns)];
      assert.equal(cellAt((x + 0.5) / grid.columns, (y + 0.5) / grid.rows, grid), cell);
    }
  }
});

test("a brush stays on the grid; an even one reaches right and down", () => {
  assert.deepEqual(brush(4, 1, TALL), [4]);
  assert.deepEqual(brush(4, 2, TALL), [4, 5, 7, 8]);
  assert.deepEqual(brush(4, 3, TALL), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(brush(7, 3, WIDE), [6, 7, 14, 15]); // at the edge nothing wraps to the next row
});

test("a rectangle is the same from any of its corners", () => {
  const cells = [3, 4, 6, 7];
  for (const [a, b] of [[3, 7], [7, 3], [4, 6], [6, 4]]) assert.deepEqual(between(a, b, TALL), cells);
  assert.deepEqual(between(5, 5, TALL), [5]);
});

test("a quick stroke leaves no gap between its ends", () => {
  for (const [a, b] of [[0, 14], [2, 12], [0, 2], [1, 13], [4, 4]]) {
    const cells = way(a, b, TALL);
    assert.equal(cells[0], a);
    assert.equal(cells.at(-1), b);
    for (let i = 1; i < cells.length; i++) {
      const dx = Math.abs((cells[i] % 3) - (cells[i - 1] % 3));
      const dy = Math.abs(Math.floor(cells[i] / 3) - Math.floor(cells[i - 1] / 3));
      assert.ok(dx <= 1 && dy <= 1);
    }
  }
});

test("arrows walk cell by cell, stop at the edges, and begin in the middle", () => {
  assert.equal(moved(-1, 1, 0, { rows: 16, columns: 16 }), 136);
  assert.equal(moved(-1, 1, 0, TALL), 7);
  assert.equal(moved(7, 1, 0, WIDE), 7);
  assert.equal(moved(7, 0, 1, WIDE), 15);
  assert.equal(moved(15, 0, 1, WIDE), 15);
  assert.equal(moved(0, -1, -1, WIDE), 0);
});
