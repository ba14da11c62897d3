// @ts-check
// How the picture is looked at, whatever is done to it: smooth or in its own pixels, with lines between the cells, with the
// mask or what lies under it. This browser remembers the first two.

import { findAll } from "../layout/dom.js";
import { recall, remember } from "../layout/storage.js";

const KEPT = "chisel-sight";
const LASTING = ["pixels", "lines"];

export class Sight {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    const kept = (recall("localStorage", KEPT) ?? "").split(" ");
    this.pixels = kept.includes("pixels"); // sharp pixels in place of smooth ones
    this.lines = kept.includes("lines"); // between the cells
    this.bare = false; // what a hand has masked shows the picture under it
    document.addEventListener("click", (event) => {
      const button = event.target instanceof Element && event.target.closest("[data-sight]");
      if (button instanceof HTMLElement) this.turn(button.dataset.sight);
    });
    this.tell();
  }

  /** The other way round. @param {string} name pixels, lines or bare */
  turn(name) {
    const all = /** @type {any} */ (this);
    all[name] = !all[name];
    remember("localStorage", KEPT, LASTING.filter((one) => all[one]).join(" "));
    this.tell();
    this.changed();
  }

  /** A button says what it shows; some of them come to stand on the page later than others. */
  tell() {
    const all = /** @type {any} */ (this);
    for (const button of findAll("[data-sight]")) button.setAttribute("aria-pressed", String(all[button.dataset.sight]));
  }
}
