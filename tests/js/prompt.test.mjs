import assert from "node:assert/strict";
import test from "node:test";

import { within } from "../../ui/bring/shrink.js";
import { pastedPicture } from "../../ui/bring/bring.js";
import { signed } from "../../ui/learn/explorer.js";
import { pieces } from "../../ui/prompt/hint.js";
import { article, inserted, place } from "../../ui/prompt/palette.js";

const SECTIONS = [["animals", ["cat", "Dog"]], ["colours", ["blue"]]];

test("a word from the palette comes with the spaces it needs, and with and between things", () => {
  const put = (before, after, word) => inserted(SECTIONS, before, after, word);
  assert.deepEqual(put("", "", "cat"), ["cat", 3]);
  assert.deepEqual(put("a", "", "cat"), ["a cat", 5]);
  assert.deepEqual(put("a blue ", " on teal", "cat"), ["a blue cat on teal", 10]);
  assert.deepEqual(put("a cat", "", "Dog"), ["a cat and Dog", 13]);
  assert.deepEqual(put("a cat", "", "blue"), ["a blue cat", 7]);
  assert.deepEqual(put("three cats on teal", "", "Dog"), ["three cats and a Dog on teal", 20]);
  assert.deepEqual(put("a category on teal", "", "Dog"), ["a category on teal Dog", 22]);
  assert.deepEqual(put("", "cat", "blue"), ["blue cat", 5]);
});

test("a picture is scaled to fit and never enlarged", () => {
  assert.deepEqual(within(4000, 2000, 2048), [2048, 1024]);
  assert.deepEqual(within(1000, 9000, 2048), [228, 2048]);
  assert.deepEqual(within(10, 20, 2048), [10, 20]);
  assert.deepEqual(within(30000, 1, 256), [256, 1]);
});

test("the first picture among what was pasted is taken, text is not", () => {
  const item = (type, kind = "file") => ({ kind, getAsFile: () => ({ type }) });
  assert.equal(pastedPicture({ items: [item("text/plain", "string"), item("text/html"), item("image/png"), item("image/jpeg")] }).type, "image/png");
  assert.equal(pastedPicture({ items: [item("text/plain", "string")] }), null);
  assert.equal(pastedPicture(null), null);
});

test("pulls bear their sign, and what rounds to nothing has none", () => {
  assert.deepEqual([0.1234, -0.1234, 0.0001, -0.0001, 0].map(signed), ["+0.123", "−0.123", "0.000", "0.000", "0.000"]);
});

test("the names of a hint are buttons whatever the text around them says", () => {
  const word = { start: 2, end: 8, word: "pandda", near: ["panda", "red panda"] };
  const other = { start: 13, end: 17, word: "a “b”. Near it: c.", near: ["cat"] };
  for (const [before, between, after] of [["I do not know “pandda”. Near it: ", ". ", "."], ["¿«pandda»? ", " — ", ""], ["", "", "panda"]]) {
    const shown = pieces([before, word, between, other, after]);
    const buttons = shown.filter((piece) => typeof piece !== "string");
    assert.deepEqual(buttons.map(({ name, start, end }) => [name, start, end]), [["panda", 2, 8], ["red panda", 2, 8], ["cat", 13, 17]]);
    assert.equal(buttons[1].label, "Write red panda instead of pandda");
    const text = shown.map((piece) => (typeof piece === "string" ? piece : piece.name)).join("");
    assert.equal(text, `${before}panda red panda${between}cat${after}`);
  }
  assert.deepEqual(pieces([]), []);
});

test("the k-th picture of a sheet is where the browser takes it from", () => {
  assert.deepEqual([0, 1, 15].map((k) => place(k, 16)), ["0%", `${100 / 15}%`, "100%"]);
  assert.equal(place(0, 1), "0%"); // a sheet of one row
});

test("a word's article is told by its sound", () => {
  const an = ["umbrella", "hourglass", "8 ball", "x-ray", "Octopus"], a = ["unicorn", "cat", "euro", "house", "UFO"];
  assert.deepEqual([...an, ...a].map(article), [...an.map(() => "an"), ...a.map(() => "a")]);
});
