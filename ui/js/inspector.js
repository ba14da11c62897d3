// The panel about one token: its patch, its numbers at the step on screen, and its whole history.

class Inspector {
  constructor(root, onJump) {
    this.root = root;
    this.onJump = onJump;
    this.find = (name) => root.querySelector(name);
    this.lookup = new Lookup(this.find(".cz-lookup"), this.find(".cz-lookup-say"));
  }

  show(run, k, cell, painter) {
    const ready = Boolean(run) && cell >= 0;
    this.root.classList.toggle("is-empty", !ready);
    this.find(".cz-hint").hidden = ready;
    this.find(".cz-token").hidden = !ready;
    if (!ready) {
      this.lookup.show(null);
      delete this.root.dataset.cell;
      return;
    }
    const frame = run.frames[k];
    const token = sheet.tokens(run, k)[cell]; // with what was changed by hand
    const byHand = token !== frame.tokens[cell];
    const masked = token === run.maskId;
    this.lookup.show(run, k, cell, token);
    const p = byHand ? this.lookup.probability(token) : frame.p[cell] / 65535;
    const judged = p !== null && (byHand || frame.phase !== "start" || p > 0);
    this.root.dataset.cell = String(cell);
    this.root.dataset.probability = (p ?? 0).toFixed(4);
    this.root.dataset.token = String(token);
    this.find(".cz-where").textContent = `Row ${Math.floor(cell / run.columns) + 1}, column ${(cell % run.columns) + 1}`;
    this.find(".cz-id").textContent = masked ? "masked" : `#${token}`;
    this.find(".cz-p-label").textContent = byHand ? (masked ? "masked by hand" : "put here by hand")
      : !judged ? "not looked at yet" : masked ? "for the best guess" : "for this token";
    this.find(".cz-p").textContent = judged ? percent(p) : "–";
    this.find(".cz-p-fill").style.width = judged ? `${Math.max(p * 100, 0.5)}%` : "0";
    this.find(".cz-h").textContent = frame.phase !== "start" || frame.h[cell] ? `${(frame.h[cell] / 1000).toFixed(2)} nats` : "–";
    this.patch(this.find(".cz-patch"), run, k, cell, painter, 1);
    this.curve(run, k, cell);
    this.events(run, k, cell, painter);
    return `Row ${Math.floor(cell / run.columns) + 1}, column ${(cell % run.columns) + 1}: ` +
      (masked ? "masked" : `token ${token}`) + (byHand ? ", by hand" : "") + (judged ? `, ${percent(p)}` : "");
  }

  // The decoded patch, pixel for pixel, with a margin of its neighbours when `margin` is not 0.
  patch(canvas, run, k, cell, painter, margin) {
    const ctx = canvas.getContext("2d");
    const draft = margin ? sheet.draft(run, k) : null; // the history tells of the run, the large patch of the canvas
    const picture = (draft && draft.image) || run.frames[k].image;
    const tokens = draft ? draft.tokens : run.frames[k].tokens;
    const x = cell % run.columns;
    const y = Math.floor(cell / run.columns);
    const cells = 1 + 2 * margin;
    const size = canvas.width / cells;
    ctx.imageSmoothingEnabled = false;
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    for (let dy = -margin; dy <= margin; dy++) {
      for (let dx = -margin; dx <= margin; dx++) {
        const [u, v] = [x + dx, y + dy];
        if (u < 0 || v < 0 || u >= run.columns || v >= run.rows) continue;
        const source = tokens[v * run.columns + u] === run.maskId || !picture ? painter.slab : picture;
        const step = source.width / run.columns;
        ctx.drawImage(source, u * step, v * step, step, step, (dx + margin) * size, (dy + margin) * size, size, size);
      }
    }
    if (margin) {
      const w = canvas.width * 0.02;
      const edge = margin * size;
      ctx.lineWidth = w * 2;
      ctx.strokeStyle = MARK.ink;
      ctx.strokeRect(edge, edge, size, size);
      ctx.lineWidth = w;
      ctx.strokeStyle = MARK.halo;
      ctx.strokeRect(edge, edge, size, size);
    }
  }

  // Probability over the steps; thin while the cell was still masked and the figure only a guess.
  curve(run, k, cell) {
    const svg = this.find(".cz-curve");
    const last = Math.max(run.last, 1);
    const point = (i) => [4 + (i / last) * 232, 44 - (run.frames[i].p[cell] / 65535) * 40];
    const nodes = [];
    for (let i = 2; i <= run.last; i++) {
      const [x0, y0] = point(i - 1);
      const [x1, y1] = point(i);
      const line = svgNode("line", { x1: x0, y1: y0, x2: x1, y2: y1 });
      line.setAttribute("class", run.isMasked(i - 1, cell) ? "is-guess" : "is-set");
      nodes.push(line);
    }
    for (const event of run.history(cell)) {
      if (event.kind === "start") continue;
      const [cx, cy] = point(event.k);
      const dot = svgNode("circle", { cx, cy, r: 3.4 });
      dot.setAttribute("class", event.kind === "set" ? "is-set" : "is-edit");
      nodes.push(dot);
    }
    const [x] = point(k);
    nodes.unshift(svgNode("line", { x1: x, y1: 2, x2: x, y2: 46, class: "is-here" }));
    svg.replaceChildren(...nodes);
  }

  events(run, k, cell, painter) {
    const items = run.history(cell).map((event) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.className = `cz-event is-${event.kind}${event.k > k ? " is-later" : ""}${event.k === k ? " is-here" : ""}`;
      const thumb = document.createElement("canvas");
      thumb.width = thumb.height = 32;
      thumb.setAttribute("aria-hidden", "true");
      this.patch(thumb, run, event.k, cell, painter, 0);
      const step = document.createElement("b");
      step.textContent = event.k === 0 ? "start" : `step ${event.k}`;
      const words = document.createElement("span");
      words.textContent = sentence(event, run.maskId);
      button.append(thumb, step, words);
      button.addEventListener("click", () => this.onJump(event.k));
      item.append(button);
      return item;
    });
    this.find(".cz-history").replaceChildren(...items);
  }
}

function sentence(event, maskId) {
  const share = percent(event.p).replace(" ", "\u00a0"); // the sign stays with its figure
  if (event.kind === "start") return event.to === maskId ? "masked" : `given as #${event.to}`;
  if (event.kind === "set") return `set to #${event.to}, ${share}`;
  if (event.kind === "remask") return `#${event.from} back to masked`;
  return `edited to #${event.to}, ${share}`;
}

function svgNode(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
