// Hands on the grid: which cells a pointer or a key means, with brush, rectangle, mouse, finger and keyboard. What is then
// done to those cells is the business of `apply`.

const TOOLS = ["inspect", "lock", "mask", "break", "choose"];
const HINTS = {
  inspect: "Pick a cell to see what the model thinks of it.",
  lock: "Paint over cells that must stay. They never change, whatever you do next. Paint again to unlock.",
  mask: "Paint over what should be made anew, then press Repaint, with this prompt or another.",
  break: "Put wrong tokens in on purpose, then press Heal and watch the model mend them.",
  choose: "Pick a cell and choose its token in the panel, or stamp its token onto other cells.",
};

class Tools {
  // hooks: {canvas, grid() -> {rows, columns} or null, busy(), select(cell), selected(), apply(tool, cells, first),
  //         begin(), commit(), abandon(), hover(cell), changed()}
  constructor(hooks) {
    this.hooks = hooks;
    this.tool = "inspect";
    this.size = 1;
    this.rectangle = false;
    this.stroke = null; // {from, last, first: true until a cell was touched, seen: Set}
    this.anchor = -1; // where Shift + arrows began
    this.hovered = -1;
    const canvas = hooks.canvas;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.end(false));
    canvas.addEventListener("pointerleave", () => this.over(-1));
    // A finger that lifts while it moves is a fling to Chromium, which then swallows the next tap as the one that
    // stops it; a stroke of paint is none. Two fingers are left to the browser, which zooms.
    const still = (event) => { if (this.paints && event.touches.length === 1 && event.cancelable) event.preventDefault(); };
    canvas.addEventListener("touchmove", still, { passive: false });
  }

  choose(tool) {
    if (!TOOLS.includes(tool)) return;
    this.tool = tool;
    this.anchor = -1;
    // with a tool in hand a finger paints, without one it scrolls the page
    this.hooks.canvas.style.touchAction = tool === "inspect" ? "manipulation" : "pinch-zoom";
    this.hooks.changed();
  }

  cellAt(event) {
    const box = this.hooks.canvas.getBoundingClientRect();
    const { rows, columns } = this.hooks.grid() || { rows: 16, columns: 16 };
    const x = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const y = Math.floor(((event.clientY - box.top) / box.height) * rows);
    return x < 0 || y < 0 || x >= columns || y >= rows ? -1 : y * columns + x;
  }

  // The cells under the brush; an even brush reaches right and down.
  brush(cell) {
    const { rows, columns } = this.hooks.grid();
    const [x, y] = [cell % columns, Math.floor(cell / columns)];
    const low = -Math.floor((this.size - 1) / 2);
    const cells = [];
    for (let dy = low; dy < low + this.size; dy++) {
      for (let dx = low; dx < low + this.size; dx++) {
        const [u, v] = [x + dx, y + dy];
        if (u >= 0 && v >= 0 && u < columns && v < rows) cells.push(v * columns + u);
      }
    }
    return cells;
  }

  between(a, b) {
    const { columns } = this.hooks.grid();
    const [x0, x1] = [a % columns, b % columns].sort((p, q) => p - q);
    const [y0, y1] = [Math.floor(a / columns), Math.floor(b / columns)].sort((p, q) => p - q);
    const cells = [];
    for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) cells.push(y * columns + x);
    return cells;
  }

  // A quick stroke skips cells: those on the straight way are meant too.
  way(a, b) {
    const { columns } = this.hooks.grid();
    const [x0, y0, x1, y1] = [a % columns, Math.floor(a / columns), b % columns, Math.floor(b / columns)];
    const n = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
    return Array.from({ length: n + 1 }, (_, i) => Math.round(y0 + ((y1 - y0) * i) / n) * columns + Math.round(x0 + ((x1 - x0) * i) / n));
  }

  get paints() {
    return this.tool !== "inspect";
  }

  // The cells to outline: a rectangle being drawn, or what the brush would touch.
  marked() {
    if (!this.hooks.grid() || !this.paints) return [];
    if (this.stroke && this.rectangle) return this.between(this.stroke.from, this.stroke.last);
    if (this.anchor >= 0) return this.between(this.anchor, this.hooks.selected());
    if (this.hovered >= 0 && !this.rectangle && this.size > 1) return this.brush(this.hovered);
    return [];
  }

  down(event) {
    if (!event.isPrimary) return this.end(false); // a second finger: the hand wants to zoom, not to paint
    if (event.button > 0) return;
    this.hooks.canvas.focus({ preventScroll: true });
    const cell = this.cellAt(event);
    if (!this.hooks.grid() || cell < 0 || !this.paints || this.hooks.busy()) return;
    event.preventDefault();
    this.hooks.canvas.setPointerCapture(event.pointerId);
    this.anchor = -1;
    this.stroke = { from: cell, last: cell, first: true };
    this.hooks.begin();
    if (!this.rectangle) this.touch([cell]);
    this.hooks.changed();
  }

  move(event) {
    if (!event.isPrimary) return;
    const cell = this.cellAt(event);
    if (this.stroke) {
      if (cell < 0 || cell === this.stroke.last) return;
      const from = this.stroke.last;
      this.stroke.last = cell;
      if (!this.rectangle) this.touch(this.way(from, cell).slice(1));
      this.hooks.changed();
    } else if (event.pointerType !== "touch" && cell !== this.hovered) {
      this.over(cell);
    }
  }

  over(cell) {
    this.hovered = cell;
    this.hooks.hover(cell);
    this.hooks.changed();
  }

  up(event) {
    if (!event.isPrimary) return;
    if (this.stroke) {
      if (this.rectangle) this.hand(this.between(this.stroke.from, this.stroke.last));
      this.end(true);
    } else if (this.hooks.grid() && !this.paints) {
      this.hooks.select(this.cellAt(event));
    }
  }

  // What was painted stays if the stroke is `done`; one that was broken off is taken back.
  end(done) {
    if (!this.stroke) return;
    this.stroke = null;
    if (done) this.hooks.commit();
    else this.hooks.abandon();
    this.hooks.changed();
  }

  touch(cells) {
    this.hand([...new Set(cells.flatMap((cell) => this.brush(cell)))]);
  }

  hand(cells) {
    this.hooks.apply(this.tool, cells, this.stroke ? this.stroke.first : true, this.stroke ? this.stroke.from : cells[0]);
    if (this.stroke) this.stroke.first = false;
  }

  // Shift + arrows stretch a rectangle from where they began.
  stretch(on) {
    if (!on) this.anchor = -1;
    else if (this.anchor < 0) this.anchor = this.hooks.selected();
  }

  // Space or Enter: the tool on the stretched rectangle, or on the brush at the selected cell.
  press() {
    const cell = this.hooks.selected();
    if (cell < 0 || !this.paints || this.hooks.busy()) return;
    this.hooks.begin();
    this.hooks.apply(this.tool, this.anchor >= 0 ? this.between(this.anchor, cell) : this.brush(cell), true, cell);
    this.anchor = -1;
    this.hooks.commit();
    this.hooks.changed();
  }
}

// A round glass above the finger, which hides what it points at.
class Loupe {
  constructor(canvas, glass) {
    this.canvas = canvas;
    this.glass = glass;
    this.at = null;
    const hide = () => { this.at = null; glass.hidden = true; };
    let alone = true; // one finger only
    canvas.addEventListener("pointerdown", (event) => {
      alone = event.isPrimary;
      if (alone) this.show(event);
      else hide();
    });
    canvas.addEventListener("pointermove", (event) => { if (alone) this.show(event); });
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) canvas.addEventListener(name, hide);
  }

  show(event) {
    if (event.pointerType !== "touch") return;
    this.at = [event.clientX, event.clientY];
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    if (!this.at) return;
    const [left, top] = this.at;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [left - box.left, top - box.top];
    const glass = this.glass;
    glass.hidden = false;
    const size = glass.offsetWidth;
    glass.style.left = `${Math.min(Math.max(left - size / 2, 0), window.innerWidth - size)}px`;
    glass.style.top = `${top - size - 28 < 0 ? top + 36 : top - size - 28}px`;
    const scale = this.canvas.width / box.width;
    const span = (size / 2.4) * scale;
    const ctx = glass.getContext("2d");
    ctx.imageSmoothingEnabled = false;
    ctx.fillStyle = "#857b6e";
    ctx.fillRect(0, 0, glass.width, glass.height);
    ctx.drawImage(this.canvas, x * scale - span / 2, y * scale - span / 2, span, span, 0, 0, glass.width, glass.height);
    ctx.strokeStyle = MARK.halo;
    ctx.lineWidth = 2;
    const middle = glass.width / 2;
    ctx.strokeRect(middle - 4, middle - 4, 8, 8);
  }
}
