// @ts-check
// The foot of every chapter, in the same place: on to the next one; after the last, back to the first or to a picture of
// one's own. What stands behind the chapters, for teachers, is none of them.

import { find, findAll } from "../../layout/dom.js";

/** @typedef {{name: string, title: string}} Told */

/**
 * Where a chapter leads: to the next one, or after the last (and from the lessons) to the first.
 * @param {Told[]} chapters in their order @param {string} now
 * @returns {{to: string, words: string, last: boolean}}
 */
export function onwardFrom(chapters, now) {
  const at = chapters.findIndex(({ name }) => name === now);
  const next = at < 0 ? undefined : chapters[at + 1];
  const { name, title } = next ?? chapters[0];
  const plain = title.charAt(0).toLowerCase() + title.slice(1);
  return { to: name, words: next ? `Next: ${plain}` : `Back to the start: ${plain}`, last: !next };
}

/** @param {import("../../stage/stage.js").Stage} stage @param {HTMLElement} element */
export function onward(stage, element) {
  const [on, own] = [find("[data-chapter-link]", element), find(".cz-make-own", element)];
  own.addEventListener("click", () => {
    stage.choose("create");
    find("#prompt textarea")?.focus({ preventScroll: true });
  });
  stage.on("chapter", (now) => {
    if (!now) return;
    const chapters = findAll("#place [data-open]").map(({ dataset }) => ({ name: dataset.open, title: dataset.title }));
    const { to, words, last } = onwardFrom(chapters.filter(({ name }) => name !== "lessons"), now);
    Object.assign(on, { textContent: words });
    on.dataset.chapterLink = to;
    own.hidden = !last;
  });
}
