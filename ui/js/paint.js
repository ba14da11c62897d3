// Draws one frame on the canvas: the carved picture, the stone still standing on it, and the marks of the chosen view.

const STONE = {
  light: { base: [214, 206, 194], joint: "rgba(92,80,64,.30)", high: "rgba(255,255,255,.62)", low: "rgba(86,72,54,.24)" },
  dark: { base: [74, 68, 61], joint: "rgba(0,0,0,.46)", high: "rgba(255,246,230,.16)", low: "rgba(0,0,0,.34)" },
};
const MARK = { set: "#2f86d6", edit: "#e8671b", lock: "#ffd66b", halo: "rgba(255,255,255,.92)", ink: "rgba(24,20,16,.9)" };
// Cividis: its brightness rises steadily, so it reads the same with any colour vision.
const CIVIDIS = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
const REVEAL_MS = 340;
const MARK_MS = 1000;

function cividis(p) {
  const x = Math.min(Math.max(p, 0), 1) * (CIVIDIS.length - 1);
  const i = Math.min(Math.floor(x), CIVIDIS.length - 2);
  const mix = CIVIDIS[i].map((c, j) => Math.round(c + (CIVIDIS[i + 1][j] - c) * (x - i)));
  return `rgb(${mix.join(",")})`;
}

// The same small number for the same cell each time, in [0, 1).
function grain(x, y, salt) {
  const n = Math.sin(x * 127.1 + y * 311.7 + salt * 74.7) * 43758.5453;
  return n - Math.floor(n);
}

class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.ctx = canvas.getContext("2d", { alpha: false });
    this.slab = null;
    this.slabKey = "";
    this.ground = document.createElement("canvas");
    this.groundKey = "";
  }

  // Matches the backing store to the size on screen: whole device pixels per cell keep the joints crisp.
  fit(rows, columns) {
    const width = this.canvas.clientWidth || 512;
    const cell = Math.max(Math.round((width * (window.devicePixelRatio || 1)) / columns), 4);
    this.cell = cell;
    this.rows = rows;
    this.columns = columns;
    if (this.canvas.width !== cell * columns || this.canvas.height !== cell * rows) {
      this.canvas.width = cell * columns;
      this.canvas.height = cell * rows;
    }
    const theme = document.body.classList.contains("dark") ? "dark" : "light";
    const key = `${theme} ${cell} ${rows} ${columns}`;
    if (key !== this.slabKey) {
      this.slab = this.quarry(STONE[theme]);
      this.slabKey = key;
    }
  }

  // The uncarved block, drawn once per size and theme.
  quarry(look) {
    const slab = document.createElement("canvas");
    const c = this.cell;
    slab.width = c * this.columns;
    slab.height = c * this.rows;
    const ctx = slab.getContext("2d");
    for (let y = 0; y < this.rows; y++) {
      for (let x = 0; x < this.columns; x++) {
        const vein = Math.sin(x * 0.55 + y * 0.9) * 3 + Math.sin(x * 0.21 - y * 0.37 + 2) * 4;
        const shade = vein + (grain(x, y, 1) - 0.5) * 9;
        ctx.fillStyle = `rgb(${look.base.map((b) => Math.round(b + shade)).join(",")})`;
        ctx.fillRect(x * c, y * c, c, c);
        for (let i = 0; i < 7; i++) {
          ctx.fillStyle = grain(x, y, i + 20) > 0.5 ? look.low : look.high;
          ctx.globalAlpha = 0.35;
          const size = Math.max(c * 0.03, 1);
          ctx.fillRect((x + 0.1 + grain(x, y, i + 40) * 0.8) * c, (y + 0.1 + grain(x, y, i + 60) * 0.8) * c, size, size);
        }
        ctx.globalAlpha = 1;
        bevel(ctx, x * c, y * c, c, look);
      }
    }
    return slab;
  }

  // view: {run, k, overlay, selected, hover, since (ms since this frame came up, null = no motion), marks (0..1),
  //        tokens, draft, locks, changed, marked (cells about to be touched)}
  draw(view) {
    const { run, k } = view;
    const ctx = this.ctx;
    if (!run) {
      this.fit(16, 16);
      ctx.drawImage(this.slab, 0, 0);
      return;
    }
    this.fit(run.rows, run.columns);
    const frame = run.frames[k];
    const before = run.frames[Math.max(k - 1, 0)];
    const reveal = view.since === null ? 1 : Math.min(view.since / REVEAL_MS, 1);
    ctx.drawImage(this.still(view, frame), 0, 0);
    if (reveal < 1) {
      const left = (1 - reveal) ** 2;
      for (const cell of frame.set) this.stone(cell, left);
      if (before.image) for (const edit of frame.edited) this.patch(before.image, edit.at, left);
    }
    if (MAPS[view.overlay]) MAPS[view.overlay](this, run, k, view.tokens, view.locks);
    if (view.overlay === "changes") this.veil(run, frame, view.tokens);
    const strength = view.overlay === "changes" ? 1 : view.overlay === "picture" ? view.marks : 0;
    if (strength > 0) {
      for (const cell of frame.set) if (!view.changed.has(cell)) this.ring(cell, MARK.set, strength, 0.055);
      for (const edit of frame.edited) if (!view.changed.has(edit.at)) this.ring(edit.at, MARK.edit, strength, 0.1);
    }
    for (const cell of view.changed) {
      // a cell masked by hand is stone like any other
      if (view.tokens[cell] !== run.maskId) this.byHand(cell, view.draft && view.draft.pending.has(cell));
    }
    if (view.locks) this.padlocks(run, view.locks);
    for (const cell of view.marked) this.outline(cell, 0.75);
    if (view.hover >= 0 && view.hover !== view.selected && !view.marked.length) this.outline(view.hover, 0.55);
    if (view.selected >= 0) this.outline(view.selected, 1);
  }

  // Picture, stones and shadows of step k: drawn once and kept, so that a moment of motion only adds to it.
  still(view, frame) {
    const { run, k, tokens, draft } = view;
    const image = (draft && draft.image) || frame.image;
    const key = `${run.id} ${k} ${draft ? `${draft.id}.${draft.version}` : ""} ${Boolean(frame.image)} ${this.slabKey}`;
    if (key === this.groundKey) return this.ground;
    this.groundKey = key;
    this.ground.width = this.canvas.width;
    this.ground.height = this.canvas.height;
    const screen = this.ctx;
    this.ctx = this.ground.getContext("2d", { alpha: false });
    if (image) {
      this.ctx.imageSmoothingEnabled = true;
      this.ctx.imageSmoothingQuality = "high";
      this.ctx.drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
    } else {
      this.ctx.drawImage(this.slab, 0, 0);
    }
    for (let cell = 0; cell < run.cells; cell++) {
      if (tokens[cell] === run.maskId) this.stone(cell, 1);
    }
    this.ledges(run, tokens);
    this.ctx = screen;
    return this.ground;
  }

  at(cell) {
    return [(cell % this.columns) * this.cell, Math.floor(cell / this.columns) * this.cell];
  }

  stone(cell, alpha) {
    const [x, y] = this.at(cell);
    const c = this.cell;
    this.ctx.globalAlpha = alpha;
    this.ctx.drawImage(this.slab, x, y, c, c, x, y, c, c);
    this.ctx.globalAlpha = 1;
  }

  patch(image, cell, alpha) {
    const [x, y] = this.at(cell);
    const scale = image.naturalWidth / this.canvas.width;
    const c = this.cell;
    this.ctx.globalAlpha = alpha;
    this.ctx.drawImage(image, x * scale, y * scale, c * scale, c * scale, x, y, c, c);
    this.ctx.globalAlpha = 1;
  }

  // Stone above or to the left of a carved cell throws a shadow into it: the picture lies deeper than the block.
  ledges(run, tokens) {
    const masked = (cell) => tokens[cell] === run.maskId;
    const ctx = this.ctx;
    const c = this.cell;
    const depth = c * 0.26;
    for (let cell = 0; cell < run.cells; cell++) {
      if (masked(cell)) continue;
      const [x, y] = this.at(cell);
      if (cell >= run.columns && masked(cell - run.columns)) {
        ctx.fillStyle = fade(ctx, x, y, x, y + depth);
        ctx.fillRect(x, y, c, depth);
      }
      if (cell % run.columns && masked(cell - 1)) {
        ctx.fillStyle = fade(ctx, x, y, x + depth, y);
        ctx.fillRect(x, y, depth, c);
      }
    }
  }

  // Cells are tinted whole in the colour that `colour` gives them; null leaves a cell as it is.
  tint(run, colour, alpha) {
    const c = this.cell;
    this.ctx.globalAlpha = alpha;
    for (let cell = 0; cell < run.cells; cell++) {
      const fill = colour(cell);
      if (fill === null) continue;
      const [x, y] = this.at(cell);
      this.ctx.fillStyle = fill;
      this.ctx.fillRect(x, y, c, c);
    }
    this.ctx.globalAlpha = 1;
  }

  // A masked cell shows a dot, the best guess so far, so that the stone stays stone.
  dots(run, colour) {
    const c = this.cell;
    for (let cell = 0; cell < run.cells; cell++) {
      const fill = colour(cell);
      if (fill === null) continue;
      const [x, y] = this.at(cell);
      this.ctx.fillStyle = fill;
      this.ctx.beginPath();
      this.ctx.arc(x + c / 2, y + c / 2, c * 0.2, 0, Math.PI * 2);
      this.ctx.fill();
    }
  }

  number(cell, n) {
    const [x, y] = this.at(cell);
    const ctx = this.ctx;
    this.ring(cell, MARK.edit, 1, 0.1);
    ctx.font = `600 ${Math.round(this.cell * 0.5)}px sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.lineWidth = Math.max(this.cell * 0.12, 2);
    ctx.strokeStyle = MARK.halo;
    ctx.strokeText(String(n), x + this.cell / 2, y + this.cell / 2);
    ctx.fillStyle = MARK.ink;
    ctx.fillText(String(n), x + this.cell / 2, y + this.cell / 2);
  }

  // A cell changed by hand has a broken line around it; until its picture is there, it is hatched.
  byHand(cell, pending) {
    const [x, y] = this.at(cell);
    const ctx = this.ctx;
    const c = this.cell;
    if (pending) {
      ctx.fillStyle = "rgba(250,248,244,.55)";
      ctx.fillRect(x, y, c, c);
      ctx.strokeStyle = MARK.ink;
      ctx.lineWidth = Math.max(c * 0.05, 1);
      ctx.beginPath();
      for (const t of [0.25, 0.5, 0.75, 1]) {
        ctx.moveTo(x + c * t, y);
        ctx.lineTo(x, y + c * t);
        ctx.moveTo(x + c, y + c * (t - 0.25));
        ctx.lineTo(x + c * (t - 0.25), y + c);
      }
      ctx.stroke();
    }
    const w = Math.max(c * 0.05, 1.5);
    ctx.lineWidth = w;
    for (const [colour, shift] of [[MARK.halo, 0], [MARK.ink, c / 6]]) {
      ctx.setLineDash([c / 6, c / 6]);
      ctx.lineDashOffset = shift;
      ctx.strokeStyle = colour;
      ctx.strokeRect(x + w / 2, y + w / 2, c - w, c - w);
    }
    ctx.setLineDash([]);
  }

  // One line around each locked area, and a small padlock in the corner of every cell: the middle stays free to see.
  padlocks(run, locks) {
    const ctx = this.ctx;
    const c = this.cell;
    const on = (cell) => locks[cell] >= 0;
    for (const [colour, w] of [[MARK.ink, Math.max(c * 0.13, 3)], [MARK.lock, Math.max(c * 0.07, 1.5)]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = w;
      ctx.beginPath();
      for (let cell = 0; cell < run.cells; cell++) {
        if (!on(cell)) continue;
        const [x, y] = this.at(cell);
        const column = cell % run.columns;
        if (cell < run.columns || !on(cell - run.columns)) { ctx.moveTo(x, y); ctx.lineTo(x + c, y); }
        if (cell >= run.cells - run.columns || !on(cell + run.columns)) { ctx.moveTo(x, y + c); ctx.lineTo(x + c, y + c); }
        if (column === 0 || !on(cell - 1)) { ctx.moveTo(x, y); ctx.lineTo(x, y + c); }
        if (column === run.columns - 1 || !on(cell + 1)) { ctx.moveTo(x + c, y); ctx.lineTo(x + c, y + c); }
      }
      ctx.stroke();
    }
    for (let cell = 0; cell < run.cells; cell++) if (on(cell)) this.padlock(cell);
  }

  padlock(cell) {
    const [x, y] = this.at(cell);
    const ctx = this.ctx;
    const s = this.cell * 0.26;
    const [left, top] = [x + this.cell - s * 1.25, y + s * 0.5];
    ctx.lineWidth = Math.max(s * 0.16, 1);
    ctx.strokeStyle = MARK.ink;
    ctx.beginPath();
    ctx.arc(left + s / 2, top + s * 0.1, s * 0.28, Math.PI, 0);
    ctx.stroke();
    ctx.fillStyle = MARK.ink;
    ctx.fillRect(left, top + s * 0.1, s, s * 0.75);
    ctx.fillStyle = MARK.lock;
    ctx.fillRect(left + s * 0.42, top + s * 0.32, s * 0.16, s * 0.3);
  }

  // What did not change steps back.
  veil(run, frame, tokens) {
    const changed = new Set([...frame.set, ...frame.edited.map((e) => e.at)]);
    this.tint(run, (cell) => (changed.has(cell) || tokens[cell] === run.maskId ? null : veilColour()), 0.55);
  }

  ring(cell, colour, alpha, weight) {
    const [x, y] = this.at(cell);
    const ctx = this.ctx;
    const w = Math.max(this.cell * weight, 1.5);
    ctx.globalAlpha = alpha;
    ctx.lineWidth = w + 2;
    ctx.strokeStyle = MARK.halo;
    ctx.strokeRect(x + w / 2 + 1, y + w / 2 + 1, this.cell - w - 2, this.cell - w - 2);
    ctx.lineWidth = w;
    ctx.strokeStyle = colour;
    ctx.strokeRect(x + w / 2 + 1, y + w / 2 + 1, this.cell - w - 2, this.cell - w - 2);
    ctx.globalAlpha = 1;
  }

  outline(cell, alpha) {
    const [x, y] = this.at(cell);
    const ctx = this.ctx;
    const w = Math.max(Math.round(this.cell * 0.07), 2);
    ctx.globalAlpha = alpha;
    ctx.lineWidth = w * 2;
    ctx.strokeStyle = MARK.ink;
    ctx.strokeRect(x, y, this.cell, this.cell);
    ctx.lineWidth = w;
    ctx.strokeStyle = MARK.halo;
    ctx.strokeRect(x, y, this.cell, this.cell);
    ctx.globalAlpha = 1;
  }
}

function bevel(ctx, x, y, c, look) {
  const w = Math.max(c * 0.05, 1);
  ctx.fillStyle = look.high;
  ctx.fillRect(x, y, c, w);
  ctx.fillRect(x, y, w, c);
  ctx.fillStyle = look.low;
  ctx.fillRect(x, y + c - w, c, w);
  ctx.fillRect(x + c - w, y, w, c);
  ctx.strokeStyle = look.joint;
  ctx.lineWidth = 1;
  ctx.strokeRect(x + 0.5, y + 0.5, c, c);
}

function fade(ctx, x0, y0, x1, y1) {
  const gradient = ctx.createLinearGradient(x0, y0, x1, y1);
  gradient.addColorStop(0, "rgba(20,14,8,.42)");
  gradient.addColorStop(1, "rgba(20,14,8,0)");
  return gradient;
}
