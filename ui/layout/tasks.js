// @ts-check
// Create, Retouch, Learn: which task is chosen is the browser's business alone. A class of the page shows and hides.

import { findAll } from "./dom.js";

/** @param {import("../stage/stage.js").Stage} stage @param {HTMLElement} element */
export function tasks(stage, element) {
  const workbench = /** @type {HTMLElement} */ (element.closest("#workbench"));
  const tabs = findAll("[data-task]", element);
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => stage.choose(tab.dataset.task));
    tab.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const next = tabs[(i + by + tabs.length) % tabs.length];
      next.focus();
      stage.choose(next.dataset.task);
    });
  });
  stage.on("task", (name) => {
    document.body.dataset.task = name;
    workbench.dataset.task = name; // rules in media queries cannot reach the body
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab.dataset.task === name));
      tab.tabIndex = tab.dataset.task === name ? 0 : -1;
    }
  });
  stage.choose(stage.task);
}
