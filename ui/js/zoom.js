// A closer look: the grid grows inside its frame and scrolls there; two grids side by side keep the same place.

const ZOOMS = [1, 2, 3];

class Zoom {
  // panes: the scrolling frames, the main one first; button: goes to the next zoom
  constructor(panes, button) {
    this.panes = panes;
    this.button = button;
    this.factor = 1;
    button.addEventListener("click", () => this.set(ZOOMS[(ZOOMS.indexOf(this.factor) + 1) % ZOOMS.length]));
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

  by(step) {
    this.set(ZOOMS[Math.min(Math.max(ZOOMS.indexOf(this.factor) + step, 0), ZOOMS.length - 1)]);
  }

  // `cell` is where to look, {x, y} as shares of the grid; without one the middle of what is seen stays in the middle.
  set(factor, cell = null) {
    const pane = this.panes[0];
    const at = cell || {
      x: (pane.scrollLeft + pane.clientWidth / 2) / pane.scrollWidth,
      y: (pane.scrollTop + pane.clientHeight / 2) / pane.scrollHeight,
    };
    this.factor = factor;
    for (const one of this.panes) {
      one.style.setProperty("--cz-zoom", String(factor));
      one.scrollLeft = at.x * one.scrollWidth - one.clientWidth / 2;
      one.scrollTop = at.y * one.scrollHeight - one.clientHeight / 2;
    }
    this.button.querySelector("b").textContent = `${factor}×`;
    this.button.setAttribute("aria-label", `Zoom: ${factor} times`);
  }

  // Scrolls as little as brings the cell's rectangle, in shares of the grid, whole into the frame.
  follow(x, y, width, height) {
    const pane = this.panes[0];
    const [w, h] = [pane.scrollWidth, pane.scrollHeight];
    pane.scrollLeft = Math.min(Math.max(pane.scrollLeft, (x + width) * w - pane.clientWidth), x * w);
    pane.scrollTop = Math.min(Math.max(pane.scrollTop, (y + height) * h - pane.clientHeight), y * h);
  }
}
