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
      const factors = zooms(grid());
      this.set(factors[(factors.indexOf(this.factor) + 1) % factors.length]);
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
    this.set(factors[Math.min(Math.max(factors.indexOf(this.factor) + step, 0), factors.length - 1)]);
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
    find("b", this.button).textContent = `${factor}×`;
    this.button.setAttribute("aria-label", `Zoom: ${factor} times`);
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
