// @ts-check
// The "Show me" of the lessons: a link that takes the stage to what the text speaks of, and opens the chapter that tells
// more. What it shows stands in the link itself, as in #show:step=edit,view=changes (see ui/learn/learn.py).

import { find } from "../layout/dom.js";

const SHOW = "#show:";

/** What a link shows, by name; "" for a word without a value. @param {string} hash @returns {Record<string, string>} */
export function shown(hash) {
  const parts = hash.slice(SHOW.length).split(",").filter(Boolean).map((part) => part.split("="));
  return Object.fromEntries(parts.map(([name, value = ""]) => [name, value]));
}

/**
 * The step that a word means.
 * @param {string} word @param {import("../stage/run/run.js").Run} run
 */
export function stepOf(word, run) {
  const edit = run.frames.findIndex((frame) => frame.edited.length);
  const named = { last: run.last, middle: Math.round(run.last / 2), edit: edit < 0 ? run.last : edit }[word];
  return named ?? Math.min(Math.max(Number(word) || 0, 0), run.last);
}

/** @param {import("../stage/stage.js").Stage} stage */
export function showMe(stage) {
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest(`a[href*="${SHOW}"]`);
    if (!(link instanceof HTMLAnchorElement)) return;
    event.preventDefault();
    show(stage, shown(link.hash));
  }, true);
}

/** @param {import("../stage/stage.js").Stage} stage @param {Record<string, string>} what */
function show(stage, what) {
  const { run } = stage;
  if ("generate" in what || !run) find("#generate:enabled")?.click();
  if (run && run.state !== "running") {
    if (what.step) stage.jump(stepOf(what.step, run));
    if (what.cell === "edit") stage.select(run.frames[stepOf(what.step, run)].edited[0]?.at ?? stage.selected);
  }
  if (what.view) stage.view(what.view);
  if (what.chapter) stage.emit("show-chapter", what.chapter);
  // in one column the stage may lie above what is read
  find(".cz-frame").scrollIntoView({ block: "nearest" });
}
