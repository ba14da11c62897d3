// A run as the browser keeps it: every frame unpacked once, so that scrubbing never asks the server anything.
// The wire format is described in ui/frames.py.

function unpack(text, Type) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return new Type(bytes.buffer);
}

function pack(values, Type) {
  const bytes = new Uint8Array(Type.from(values).buffer);
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

class Run {
  // `parent` is the run that a branch grew from, when this tab still has it: its first steps are shared.
  constructor(message, parent = null) {
    this.id = message.run;
    this.kind = message.kind;
    this.role = message.role;
    this.parent = message.parent;
    this.ground = Boolean(message.ground);
    this.settings = message.settings;
    this.rows = message.grid[0];
    this.columns = message.grid[1];
    this.cells = this.rows * this.columns;
    this.maskId = message.vocab;
    this.planned = message.planned;
    this.seed = message.seed;
    this.prompt = message.prompt;
    this.state = message.state;
    this.frames = parent ? parent.frames.slice(0, message.prefix) : [];
    this.prefix = message.prefix;
    this.base = this.frames.length; // its own steps begin here
    this.offset = message.prefix - this.base;
  }

  get last() {
    return this.frames.length - 1;
  }

  // Adds the frames this tab has not seen yet. A frame that would leave a gap waits for the closing message.
  take(message) {
    this.state = message.state;
    for (const raw of message.frames) {
      if (raw.k - this.offset === this.frames.length) this.frames.push(this.frame(raw));
    }
  }

  frame(raw) {
    const before = this.frames[this.frames.length - 1];
    const triples = unpack(raw.edited, Int32Array);
    const edited = [];
    for (let i = 0; i + 2 < triples.length; i += 3) {
      edited.push({ at: triples[i], from: triples[i + 1], to: triples[i + 2] });
    }
    const frame = {
      k: raw.k - this.offset,
      phase: raw.phase,
      ms: raw.ms,
      tokens: unpack(raw.tokens, Int32Array),
      set: unpack(raw.set, Uint16Array),
      edited,
      p: unpack(raw.p, Uint16Array),
      h: unpack(raw.h, Uint16Array),
      editsSoFar: (before ? before.editsSoFar : 0) + edited.length,
      locked: unpack(raw.locked, Uint8Array),
      image: null,
      ready: Promise.resolve(),
      settled: true,
    };
    let sum = 0;
    for (const p of frame.p) sum += p;
    frame.meanP = raw.phase === "start" ? 0 : sum / 65535 / this.cells;
    frame.masked = frame.tokens.reduce((n, token) => n + (token === this.maskId), 0);
    if (raw.image.startsWith("data:image/jpeg;base64,")) {
      const image = new Image();
      image.src = raw.image;
      frame.settled = false;
      frame.ready = image.decode().then(() => { frame.image = image; }, () => {}).then(() => { frame.settled = true; });
    }
    return frame;
  }

  // The step at which each cell got the token that it has at step k.
  born(k) {
    const born = new Uint16Array(this.cells);
    for (let i = 1; i <= k; i++) {
      for (const cell of this.frames[i].set) born[cell] = i;
      for (const edit of this.frames[i].edited) born[edit.at] = i;
    }
    return born;
  }

  editCounts(k) {
    const counts = new Uint16Array(this.cells);
    for (let i = 1; i <= k; i++) for (const edit of this.frames[i].edited) counts[edit.at]++;
    return counts;
  }

  isMasked(k, cell) {
    return this.frames[k].tokens[cell] === this.maskId;
  }

  // Everything that happened to one cell: [{k, kind: "start" | "set" | "edit" | "remask", from, to, p}], oldest first.
  history(cell) {
    const events = [];
    this.frames.forEach((frame, k) => {
      const token = frame.tokens[cell];
      const p = frame.p[cell] / 65535;
      if (k === 0) events.push({ k, kind: "start", to: token, p });
      if (frame.set.includes(cell)) events.push({ k, kind: "set", to: token, p });
      const edit = frame.edited.find((e) => e.at === cell);
      if (edit) events.push({ k, kind: edit.to === this.maskId ? "remask" : "edit", from: edit.from, to: edit.to, p });
    });
    return events;
  }

  // "step 7 of 12 · 141 of 256 tokens set · 5 edited · 0.9 s"
  describe(k, byHand = 0) {
    const frame = this.frames[k];
    const polish = this.frames.slice(0, k + 1).filter((f) => f.phase === "polish").length;
    const passes = this.kind === "heal" ? "healing pass" : "polish pass";
    const where = frame.phase === "start" ? (this.planned ? `start of ${count(this.planned, "step")}` : "start")
      : frame.phase === "polish" ? `${passes} ${polish}`
      : `step ${k} of ${this.planned}`;
    const set = this.cells - frame.masked;
    const time = frame.ms ? ` · ${(frame.ms / 1000).toFixed(1)} s` : "";
    const stopped = this.state === "stopped" && k === this.last ? ", stopped" : "";
    const hand = byHand ? ` · ${byHand} changed by hand` : "";
    return `${where}${stopped} · ${set} of ${this.cells} tokens set · ${frame.editsSoFar} edited${time}${hand}`;
  }

  // What this run is, for captions: the prompt stands apart.
  note() {
    const what = { repaint: "repainted", heal: "healed", branch: `branch from step ${this.parent ? this.parent[1] : 0}`, upload: "uploaded", opened: "opened" }[this.kind];
    const editing = this.settings && this.settings.edit === "off" ? "editing off" : "";
    const steps = ["upload", "heal"].includes(this.kind) || !this.planned ? "" : count(this.planned, "step");
    return [what, this.kind === "upload" ? "" : `seed ${this.seed}`, steps, editing].filter(Boolean).join(" · ");
  }
}

function count(n, noun) {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

// Small probabilities matter here (a vocabulary has thousands of entries), so they keep two digits that mean something.
function percent(p) {
  if (p >= 0.995) return p === 1 ? "100 %" : "> 99 %";
  if (p >= 0.1) return `${Math.round(p * 100)} %`;
  if (p >= 0.0001) return `${(p * 100).toPrecision(2)} %`;
  return "< 0.01 %";
}
