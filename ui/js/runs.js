// The runs of this tab: small pictures to go back to, two of them side by side, and variations to choose from.

const RUNS_SHOWN = 10;

class Shelf {
  constructor(root, hooks) {
    this.root = root;
    this.hooks = hooks; // {show(run), current(), beside()}
    this.runs = [];
  }

  add(run) {
    if (this.runs.includes(run)) return;
    this.runs.unshift(run);
    this.runs.length = Math.min(this.runs.length, 24);
  }

  find(id) {
    return this.runs.find((run) => run.id === id) || null;
  }

  show() {
    const list = this.root.querySelector(".cz-shelf");
    const runs = this.runs.slice(0, RUNS_SHOWN);
    this.root.hidden = runs.length < 2;
    const key = runs.map((run) => `${run.id} ${run.frames.length} ${Boolean(run.frames[run.last]?.image)}`).join();
    if (key !== this.key) {
      this.key = key;
      list.replaceChildren(...runs.map((run) => this.item(run)));
    }
    Array.from(list.children).forEach((item, i) => {
      const button = item.firstChild;
      button.setAttribute("aria-pressed", String(runs[i] === this.hooks.current()));
      button.classList.toggle("is-beside", runs[i] === this.hooks.beside());
    });
  }

  item(run) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "cz-thumb";
    button.title = [run.prompt, run.note()].filter(Boolean).join(" · ");
    button.setAttribute("aria-label", `Show again: ${button.title}`);
    button.append(thumbnail(run, 48));
    button.addEventListener("click", () => this.hooks.show(run));
    item.append(button);
    return item;
  }
}

// The last picture of a run, small; redrawn once its image is decoded.
function thumbnail(run, size) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size * 2;
  canvas.setAttribute("aria-hidden", "true");
  const frame = run.frames[run.last];
  const draw = () => {
    const ctx = canvas.getContext("2d");
    if (frame && frame.image) ctx.drawImage(frame.image, 0, 0, canvas.width, canvas.height);
    else { ctx.fillStyle = "#c9c4bc"; ctx.fillRect(0, 0, canvas.width, canvas.height); }
  };
  draw();
  if (frame) frame.ready.then(draw);
  return canvas;
}

// Variations: each can be looked at on the canvas; one is accepted, or all are discarded.
class Variations {
  constructor(root, hooks) {
    this.root = root;
    this.hooks = hooks; // {look(run), accept(run), discard()}
    this.runs = [];
    this.index = -1;
    this.open = false;
    root.querySelector(".cz-accept").addEventListener("click", () => {
      if (this.index < 0) return;
      const run = this.runs[this.index];
      this.close();
      hooks.accept(run);
    });
    root.querySelector(".cz-discard").addEventListener("click", () => {
      this.close();
      hooks.discard();
    });
  }

  take(message) {
    const news = message.variations.slice(this.runs.length).map((told) => {
      const run = new Run(told);
      run.take(told);
      return run;
    });
    this.runs.push(...news);
    this.of = message.of;
    this.ended = message.state !== "running";
    this.open = this.runs.length > 0 || !this.ended;
    if (this.index < 0 && this.runs.length) {
      this.look(0);
      requestAnimationFrame(() => this.root.scrollIntoView({ block: "nearest" }));
    }
    this.show();
  }

  start() {
    this.runs = [];
    this.index = -1;
    this.ended = false;
  }

  close() {
    this.open = false;
    this.start();
    this.show();
  }

  // Something else comes onto the canvas: those that nobody chose stay on the shelf.
  shelve(shelf) {
    this.runs.forEach((run) => shelf.add(run));
    this.close();
  }

  look(index) {
    this.index = index;
    this.hooks.look(this.runs[index]);
    this.show();
  }

  show() {
    this.root.hidden = !this.open;
    this.root.dataset.count = String(this.runs.length);
    const title = this.ended ? count(this.runs.length, "variation") : `variation ${this.runs.length + 1} of ${this.of} is being carved …`;
    this.root.querySelector(".cz-variations-title").textContent = title;
    this.root.querySelector(".cz-accept").disabled = this.index < 0;
    this.root.querySelector(".cz-choices").replaceChildren(...this.runs.map((run, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "cz-thumb is-large";
      button.setAttribute("aria-pressed", String(i === this.index));
      button.setAttribute("aria-label", `Variation ${i + 1}, seed ${run.seed}`);
      button.append(thumbnail(run, 64));
      button.addEventListener("click", () => this.look(i));
      return button;
    }));
  }
}
