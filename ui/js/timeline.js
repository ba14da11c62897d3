// The timeline under the canvas: one column per step, blue for tokens set, orange for tokens edited, and a range input
// on top of them, so that mouse, touch, keyboard and screen reader all scrub the same thing.

class Timeline {
  constructor(root, onScrub) {
    this.range = root.querySelector(".cz-range");
    this.bars = root.querySelector(".cz-bars");
    this.counter = root.querySelector(".cz-counter");
    this.key = "";
    this.range.addEventListener("input", () => onScrub(Number(this.range.value)));
  }

  show(run, k) {
    const slots = run ? Math.max(run.state === "running" ? run.planned + 1 : 0, run.frames.length) : 13;
    const key = run ? `${run.id} ${run.frames.length} ${slots}` : "none";
    if (key !== this.key) this.build(run, slots);
    this.key = key;
    const last = run ? run.last : 0;
    this.range.max = String(Math.max(slots - 1, 1));
    this.range.disabled = !run || last < 1;
    this.range.value = String(run ? k : 0);
    this.range.setAttribute("aria-valuetext", run ? run.describe(k) : "no run yet");
    this.range.style.setProperty("--slot", `${this.bars.clientWidth / slots}px`);
    Array.from(this.bars.children).forEach((bar, i) => {
      bar.classList.toggle("is-here", Boolean(run) && i === k);
      bar.classList.toggle("is-past", Boolean(run) && i < k);
    });
    this.counter.textContent = run ? `${k} / ${Math.max(last, slots - 1)}` : "";
  }

  build(run, slots) {
    const frames = run ? run.frames : [];
    const tallest = Math.max(8, ...frames.map((f) => f.set.length));
    const most = Math.max(8, ...frames.map((f) => f.edited.length));
    const bars = [];
    for (let i = 0; i < slots; i++) {
      const bar = document.createElement("span");
      const frame = frames[i];
      bar.className = frame ? "cz-bar" : "cz-bar is-ghost";
      if (frame) {
        bar.append(tick("cz-bar-set", (frame.set.length / tallest) * 36));
        bar.append(tick("cz-bar-edit", (frame.edited.length / most) * 14));
      }
      bars.push(bar);
    }
    this.bars.replaceChildren(...bars);
  }
}

// A bar of `height` px; what happened at all is never too small to see.
function tick(name, height) {
  const node = document.createElement("i");
  node.className = name;
  node.style.height = height > 0 ? `${Math.max(Math.round(height), 3)}px` : "0";
  return node;
}
