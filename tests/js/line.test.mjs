import assert from "node:assert/strict";
import test from "node:test";

import { fitting, quoted } from "../../ui/stage/line.js";

const width = (words) => words.length * 10;

test("the longest form that fits is said, and the shortest where none does", () => {
  const forms = ["a long line of words", "a short line", "short"];
  assert.equal(fitting(forms, 300, width), forms[0]);
  assert.equal(fitting(forms, 150, width), forms[1]);
  assert.equal(fitting(forms, 10, width), forms[2]);
  assert.equal(fitting([], 10, width), "");
});

test("a prompt gives way by words, and what follows it never", () => {
  assert.deepEqual(quoted("a red cat", "seed 1"), ["a red cat · seed 1", "a red… · seed 1", "a… · seed 1", "seed 1"]);
  assert.deepEqual(quoted("cat", "seed 1"), ["cat · seed 1", "seed 1"]);
  assert.deepEqual(quoted("", "uploaded"), ["uploaded", "uploaded"]);
  assert.deepEqual(quoted("cat", ""), ["cat"]);
});
