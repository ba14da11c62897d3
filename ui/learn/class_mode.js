// @ts-check
// Class mode: bigger words, and the controls that a lesson does not need step back. Kept in the address (?class=1), so
// that a teacher can put the link on the board.

import { find } from "../layout/dom.js";

/** @param {HTMLElement} element */
export function classMode(element) {
  const box = find("[data-class-mode]", element);
  const show = (/** @type {boolean} */ on) => {
    document.body.classList.toggle("cz-class", on);
    box.checked = on;
  };
  box.addEventListener("change", () => {
    show(box.checked);
    const url = new URL(location.href);
    if (box.checked) url.searchParams.set("class", "1");
    else url.searchParams.delete("class");
    history.replaceState(history.state, "", url);
  });
  show(new URLSearchParams(location.search).get("class") === "1");
}
