// The timeline under the canvas. Per step one column: blue for tokens set, orange below for tokens edited; a line for the
// mean confidence and a quiet slope for the share already carved. A range input lies on top of it, so that mouse, touch,
// keyboard and screen reader all scrub the same thing.

const BAR = 36; // px above the ground line for bars and curves
const GROUND = 40;

class Timeline {
  constructor(root, onScrub) {
    this.range = root.querySelector(".cz-range");
    this.bars = root.querySelector(".cz-bars");
    this.curves = root.querySelector(".cz-curves");
    this.key = "";
    this.range.addEventListener("input", () => onScrub(Number(this.range.value)));
  }

  // `position` is the step on the common axis of `run` and, while comparing, of `other`.
  show(run, position, other, drafted) {
    const slots = run ? Math.max(this.length(run), other ? this.length(other) : 0) : 13;
    const key = run ? [run.id, run.frames.length, slots, other ? `${other.id} ${other.frames.length}` : "", [...drafted].join()].join(" ") : "none";
    if (key !== this.key) this.build(run, slots, other, drafted);
    this.key = key;
    this.range.max = String(Math.max(slots - 1, 1));
    this.range.disabled = !run || Math.max(run.last, other ? other.last : 0) < 1;
    this.range.value = String(run ? position : 0);
    this.range.setAttribute("aria-valuetext", run ? run.describe(Math.min(position, run.last)) : "no run yet");
    this.range.style.setProperty("--slot", `${this.bars.clientWidth / slots}px`);
    Array.from(this.bars.children).forEach((bar, i) => bar.classList.toggle("is-here", Boolean(run) && i === position));
  }

  length(run) {
    return Math.max(run.state === "running" ? run.planned + 1 : 0, run.frames.length);
  }

  build(run, slots, other, drafted) {
    const frames = run ? run.frames : [];
    const tallest = Math.max(8, ...frames.map((f) => f.set.length));
    const most = Math.max(8, ...frames.map((f) => f.edited.length));
    const bars = [];
    for (let i = 0; i < slots; i++) {
      const bar = document.createElement("span");
      const frame = frames[i];
      bar.className = frame ? "cz-bar" : "cz-bar is-ghost";
      if (frame) {
        bar.append(tick("cz-bar-set", (frame.set.length / tallest) * BAR));
        bar.append(tick("cz-bar-edit", (frame.edited.length / most) * 14));
        if (drafted.has(i)) bar.append(tick("cz-bar-hand", 6));
      }
      bars.push(bar);
    }
    this.bars.replaceChildren(...bars);
    this.curves.setAttribute("viewBox", `0 0 ${slots} 58`);
    const nodes = [];
    if (frames.length > 1) {
      nodes.push(this.curve(frames, (f) => 1 - f.masked / run.cells, "is-carved", true));
      nodes.push(this.curve(frames.slice(1), (f) => f.meanP, "is-sure", false, 1));
    }
    if (other && other.frames.length > 1) nodes.push(this.curve(other.frames.slice(1), (f) => f.meanP, "is-sure is-other", false, 1));
    this.curves.replaceChildren(...nodes);
  }

  curve(frames, value, name, filled, first = 0) {
    const points = frames.map((f, i) => `${i + first + 0.5},${GROUND - value(f) * BAR}`);
    if (filled) points.push(`${frames.length - 0.5},${GROUND}`, `0.5,${GROUND}`);
    return svgNode(filled ? "polygon" : "polyline", { points: points.join(" "), class: name });
  }
}

// A bar of `height` px; what happened at all is never too small to see.
function tick(name, height) {
  const node = document.createElement("i");
  node.className = name;
  node.style.height = height > 0 ? `${Math.max(Math.round(height), 3)}px` : "0";
  return node;
}
