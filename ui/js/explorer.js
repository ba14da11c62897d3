// The GCE explorer: a token, its group in the codebook at several sizes, and which way the two objectives pull.
// All figures come from the server, for every stop of the slider at once, so that moving it costs nothing.

const q = (name) => element.querySelector(name);
const fold = q("details");
const state = { token: null, size: null, page: 0, place: null, told: null };
const slider = q("input[type=range]");
let asked = 0;

// Where the probabilities come from: the inspected cell of the picture, or without one the model's first look at all.
function place() {
  const chisel = window.chisel;
  const run = chisel && chisel.run ? chisel.run() : null;
  const cell = run && chisel.cell ? chisel.cell() : -1;
  return run && run.state !== "running" && cell >= 0 ? { run: run.id, step: chisel.step(), cell } : null;
}

function picture() {
  const chisel = window.chisel;
  const run = chisel && chisel.run ? chisel.run() : null;
  return run && run.state === "done" ? { run: run.id, step: run.last } : { run: null };
}

async function handful() {
  const told = await server.handful({ ...picture(), page: state.page });
  if (told.error) return say(told.error);
  q(".cz-from").textContent = picture().run ? "Tokens of this picture" : "Tokens of the codebook";
  q(".cz-handful").replaceChildren(...told.tokens.map((id) => {
    const button = patchButton(told.patches[id], "");
    button.setAttribute("aria-label", `Token ${id}`);
    button.setAttribute("aria-pressed", String(id === state.token));
    button.dataset.token = String(id);
    button.addEventListener("click", () => explore({ token: id, place: null }));
    return button;
  }));
  if (state.token === null) await explore({});
}

async function explore(change) {
  Object.assign(state, change);
  const mine = ++asked;
  const told = await server.explore({ ...(state.place || { run: picture().run }), token: state.token, size: state.size });
  if (mine !== asked) return;
  if (told.error) {
    if (state.place) return explore({ place: null });
    return say(told.error);
  }
  Object.assign(state, { told, token: told.token, size: told.size });
  draw();
}

function say(words) {
  q(".cz-explore-say").textContent = words;
}

function draw() {
  const told = state.told;
  element.querySelectorAll(".cz-handful button").forEach((b) => b.setAttribute("aria-pressed", String(Number(b.dataset.token) === told.token)));
  q(".cz-sizes").replaceChildren(...told.sizes.map((n) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = String(n);
    button.title = n === told.trained ? "This model was trained with groups of this size" : `Groups of ${n} codes`;
    button.setAttribute("aria-label", `Groups of ${n} codes${n === told.trained ? ", as in training" : ""}`);
    button.setAttribute("aria-pressed", String(n === told.size));
    button.addEventListener("click", () => explore({ size: n }).then(() => {
      element.querySelector(`.cz-sizes [aria-pressed=true]`).focus({ preventScroll: true });
    }));
    return button;
  }));
  q(".cz-members").classList.toggle("is-many", told.size > 16);
  q(".cz-members").replaceChildren(...told.members.map(([id, p]) => {
    const button = patchButton(told.patches[id], told.size > 16 ? "" : percent(p));
    button.classList.toggle("is-here", id === told.token);
    button.setAttribute("aria-label", `Token ${id}, ${percent(p)}`);
    button.title = `#${id}, ${percent(p)}`;
    button.addEventListener("click", () => explore({ token: id }));
    return button;
  }));
  const at = `row ${Math.floor(told.cell / told.columns) + 1}, column ${(told.cell % told.columns) + 1}`;
  const where = state.place ? `At ${at}, step ${told.step},` : `At its first look for “${told.prompt}”, ${at},`;
  say(`${where} the model gives this token ${percent(told.p)} and its group of ${told.size} together ${percent(told.mass)}.`);
  Object.assign(element.dataset, { token: String(told.token), size: String(told.size) });
  pull();
}

// Three pairs of bars around a middle line: to the right is made likelier, to the left less likely.
function pull() {
  const told = state.told;
  if (!told) return;
  const [lambda, , exact, group, outside] = told.pulls[Number(slider.value)];
  const plain = told.pulls[0].slice(2);
  q(".cz-lambda").textContent = lambda.toFixed(2);
  const most = Math.max(...told.pulls.flatMap((p) => p.slice(2).map(Math.abs)), 1e-9);
  const others = told.size === 2 ? "its neighbour" : `its ${told.size - 1} neighbours`;
  const rows = [["this token", plain[0], exact], [others, plain[1], group], ["all others", plain[2], outside]];
  q(".cz-pulls").replaceChildren(...rows.map(([name, before, now]) => {
    const row = document.createElement("div");
    row.className = "cz-pull";
    const label = document.createElement("span");
    label.textContent = name;
    const value = document.createElement("b");
    value.textContent = signed(now);
    const track = document.createElement("div");
    track.append(pullBar(before, most, "is-plain"), pullBar(now, most, "is-grouped"));
    row.append(label, value, track);
    return row;
  }));
  const told3 = rows.map(([name, before, now]) => `${name} ${signed(before)} with plain cross-entropy, ${signed(now)} with the group term`);
  q(".cz-pulls").setAttribute("aria-label", `Pull on the logits. ${told3.join("; ")}.`);
  const [they, are] = told.size === 2 ? ["it", "is"] : ["they", "are"];
  const drift = (x) => (Math.abs(x) < 0.0005 ? `${are} left alone` : x > 0 ? `${are} lifted by ${x.toFixed(3)}` : `${are} pushed down by ${(-x).toFixed(3)}`);
  q(".cz-explore-sum").textContent = `If this were the right token: with plain cross-entropy (pale bars) ${others} ${drift(plain[1])}; ` +
    `with the group at weight ${lambda.toFixed(2)} (strong bars) ${they} ${drift(group)}.`;
  Object.assign(element.dataset, { lambda: lambda.toFixed(2), group: group.toFixed(6), plain: plain[1].toFixed(6) });
}

function signed(x) {
  const text = Math.abs(x).toFixed(3);
  return Number(text) === 0 ? "0.000" : `${x > 0 ? "+" : "−"}${text}`;
}

function pullBar(x, most, name) {
  const bar = document.createElement("i");
  bar.className = `${name} ${x >= 0 ? "is-up" : "is-down"}`;
  bar.style.width = `${(Math.abs(x) / most) * 50}%`;
  return bar;
}

fold.addEventListener("toggle", () => {
  if (!fold.open) return;
  state.page = 0;
  offer();
  handful();
});
slider.addEventListener("input", pull);
q("[data-explore=more]").addEventListener("click", () => { state.page += 1; handful(); });
q("[data-explore=cell]").addEventListener("click", () => explore({ place: place(), token: null }));
function offer() {
  q("[data-explore=cell]").hidden = !place();
}
for (const name of ["select", "run", "step"]) document.addEventListener(`chisel:${name}`, offer);
document.addEventListener("chisel:done", () => {
  if (!fold.open) return;
  state.page = 0;
  handful();
});
