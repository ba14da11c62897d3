// @ts-check
// A closer look: the grid grows inside its frame and scrolls there; two grids side by side keep the same place.

import { find } from "../../layout/dom.js";
import { columnAndRow } from "../run/cells.js";

const COARSE = 16; // cells across, that can be met without a closer look

/**
 * How close one can come: as many times closer as the grid is finer than a coarse one, and once more.
 * @param {import("../run/cells.js").Grid} grid
 */
export function zooms({ rows, columns }) {
  const most = Math.max(3, Math.ceil(Math.max(rows, columns) / COARSE) + 1);
  return [1, 2, 3, 5, 8].filter((factor) => factor <= most);
}

/** @param {HTMLElement} pane @param {number} x */
function under(pane, x) {
  const { left, right } = pane.getBoundingClientRect();
  return left <= x && x <= right;
}

export class Zoom {
  /**
   * @param {HTMLElement[]} panes the scrolling frames, the main one first
   * @param {HTMLButtonElement} button goes to the next zoom
   * @param {() => import("../run/cells.js").Grid} grid what is looked at
   */
  constructor(panes, button, grid) {
    this.panes = panes;
    this.button = button;
    this.grid = grid;
    this.factor = 1;
    button.addEventListener("click", () => {
      this.set(zooms(grid()).find((factor) => factor > this.factor) ?? 1);
    });
    for (const pane of panes) {
      pane.addEventListener("scroll", () => {
        for (const other of panes) {
          if (other === pane) continue;
          other.scrollLeft = pane.scrollLeft;
          other.scrollTop = pane.scrollTop;
        }
      });
    }
  }

  /** @param {number} step */
  by(step) {
    const factors = zooms(this.grid());
    const next = step > 0 ? factors.find((factor) => factor > this.factor) : factors.findLast((factor) => factor < this.factor);
    this.set(next ?? (step > 0 ? factors[factors.length - 1] : 1));
  }

  /**
   * Any factor, and what is seen at a point of the window stays there.
   * @param {number} factor @param {{x: number, y: number}} point in pixels of the window
   */
  around(factor, { x, y }) {
    const most = zooms(this.grid()).at(-1);
    const pane = this.panes.find((one) => under(one, x)) ?? this.panes[0];
    const box = pane.getBoundingClientRect();
    const [u, v] = [x - box.left, y - box.top];
    const at = { x: (pane.scrollLeft + u) / pane.scrollWidth, y: (pane.scrollTop + v) / pane.scrollHeight };
    this.set(Math.min(Math.max(factor, 1), most));
    pane.scrollLeft = at.x * pane.scrollWidth - u;
    pane.scrollTop = at.y * pane.scrollHeight - v;
  }

  /** @param {number} dx @param {number} dy pixels */
  pan(dx, dy) {
    this.panes[0].scrollBy({ left: dx, top: dy, behavior: "instant" });
  }

  /**
   * Without a place to look at, in shares of the grid, the middle of what is seen stays in the middle.
   * @param {number} factor @param {{x: number, y: number} | null} place
   */
  set(factor, place = null) {
    const pane = this.panes[0];
    const at = place || {
      x: (pane.scrollLeft + pane.clientWidth / 2) / pane.scrollWidth,
      y: (pane.scrollTop + pane.clientHeight / 2) / pane.scrollHeight,
    };
    this.factor = factor;
    for (const one of this.panes) {
      one.style.setProperty("--cz-zoom", String(factor));
      one.scrollLeft = at.x * one.scrollWidth - one.clientWidth / 2;
      one.scrollTop = at.y * one.scrollHeight - one.clientHeight / 2;
    }
    const told = Number(factor.toFixed(1));
    find("b", this.button).textContent = `${told}×`;
    this.button.setAttribute("aria-label", `Zoom: ${told} times`);
  }

  /**
   * Scrolls as little as brings the cell whole into the frame.
   * @param {number} cell @param {import("../run/cells.js").Grid} grid
   */
  follow(cell, grid) {
    const pane = this.panes[0];
    const [x, y] = columnAndRow(cell, grid);
    const [w, h] = [pane.scrollWidth / grid.columns, pane.scrollHeight / grid.rows];
    pane.scrollLeft = Math.min(Math.max(pane.scrollLeft, (x + 1) * w - pane.clientWidth), x * w);
    pane.scrollTop = Math.min(Math.max(pane.scrollTop, (y + 1) * h - pane.clientHeight), y * h);
  }

  /**
   * A step in or out, to a cell where one is chosen.
   * @param {number} step @param {number} cell @param {import("../run/cells.js").Grid} grid
   */
  closer(step, cell, grid) {
    this.by(step);
    if (cell < 0) return;
    const [x, y] = columnAndRow(cell, grid);
    this.set(this.factor, { x: (x + 0.5) / grid.columns, y: (y + 0.5) / grid.rows });
  }
}
