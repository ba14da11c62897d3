// The part of the inspector that asks the server: what else one cell could be at one step, and its group.
// An answer is kept, so that looking back costs nothing. While steps stream or play, nothing is asked.

const LOOKUP_REST_MS = 110; // how long a cell and step must stay before the server is asked
const LOOKUPS_KEPT = 200;

class Lookup {
  constructor(root, say) {
    this.root = root;
    this.say = say;
    this.kept = new Map();
    this.timer = 0;
    this.key = "";
  }

  // held: the token on the canvas, perhaps put there by hand.
  show(run, k, cell, held) {
    const key = run ? `${run.id} ${k} ${cell}` : "";
    const same = key === this.key;
    if (same && held === this.held && (this.kept.has(key) || this.timer)) return;
    this.held = held;
    if (same && this.timer) return;
    this.key = key;
    clearTimeout(this.timer);
    this.timer = 0;
    if (!key) return this.hide();
    if (this.kept.has(key)) return this.draw(this.kept.get(key), cell);
    this.root.classList.add("is-old");
    this.timer = setTimeout(() => this.ask(key, run, k, cell), LOOKUP_REST_MS);
  }

  // p(token) at the cell and step on screen, null when it is not known.
  probability(token) {
    const told = this.kept.get(this.key);
    const found = told && [...told.top, ...told.group].find(([id]) => id === token);
    return found ? found[1] : null;
  }

  async ask(key, run, k, cell) {
    this.timer = 0;
    if (run.state === "running") return; // the model has better things to do; the end of the run asks again
    let told;
    try {
      told = await server.look_up({ run: run.id, step: k, cell });
    } catch {
      told = { error: "The studio did not answer." };
    }
    if (!told.error) {
      this.kept.set(key, told);
      if (this.kept.size > LOOKUPS_KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    if (key === this.key) this.draw(told, cell);
  }

  hide() {
    this.root.hidden = true;
    this.say.hidden = true;
  }

  draw(told, cell) {
    this.root.classList.remove("is-old");
    this.root.hidden = Boolean(told.error);
    this.say.hidden = !told.error;
    this.say.textContent = told.error || "";
    if (told.error) return;
    const find = (name) => this.root.querySelector(name);
    const focused = this.root.contains(document.activeElement) ? document.activeElement.dataset : null;
    const group = new Set(told.group.map(([id]) => id));
    find(".cz-lookup-title").textContent = told.step === 0 ? "What it could become" : "What else it could be";
    find(".cz-candidates").replaceChildren(...told.top.map(([id, p]) => {
      const item = document.createElement("li");
      const button = patchButton(told.patches[id], percent(p));
      const here = id === this.held;
      button.classList.toggle("is-here", here);
      button.classList.toggle("is-near", group.has(id));
      button.setAttribute("aria-label", `${here ? "Holds" : "Use"} token ${id}, ${percent(p)}${group.has(id) ? ", of the same group" : ""}`);
      button.title = here ? "This is the token it holds" : "Use this token";
      button.dataset.token = String(id);
      button.addEventListener("click", () => choose(cell, id));
      item.append(button);
      return item;
    }));
    find(".cz-group").replaceChildren(...told.group.slice(0, 16).map(([id, p]) => {
      const item = document.createElement("li");
      const button = patchButton(told.patches[id], percent(p));
      button.classList.toggle("is-here", id === this.held);
      button.setAttribute("aria-label", `Use token ${id} of the group, ${percent(p)}`);
      button.title = id === this.held ? "This is the token it holds" : "Use this token";
      button.dataset.token = String(id);
      button.addEventListener("click", () => choose(cell, id));
      item.append(button);
      return item;
    }));
    if (focused && focused.token) { // the buttons are new: the keyboard stays where it was
      const again = this.root.querySelector(`[data-token="${focused.token}"]`);
      if (again) again.focus({ preventScroll: true });
    }
    for (const name of [".cz-mass", ".cz-masses"]) find(name).hidden = !told.group.length;
    find(".cz-mass-exact").style.width = `${told.p * 100}%`;
    find(".cz-mass-group").style.width = `${told.mass * 100}%`;
    find(".cz-exact").textContent = percent(told.p);
    find(".cz-whole").textContent = percent(told.mass);
    Object.assign(this.root.dataset, { step: String(told.step), cell: String(told.cell), p: told.p.toFixed(6) });
  }
}

// Choosing by hand is an edit like any other: the canvas draws it, and Undo takes it back.
function choose(cell, token) {
  window.chisel.put([[cell, token]]);
}
