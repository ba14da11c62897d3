// Save and share: asks the server for a file of the run on screen and hands it to the browser as a download.
// Runs inside gr.HTML's js_on_load; `element` and `server` come from there.

const panel = element.querySelector(".ex");
const say = panel.querySelector(".ex-say");
const address = panel.querySelector(".ex-address");
const buttons = Array.from(panel.querySelectorAll(".ex-button"));
let busy = false;
let linked = ""; // the run that the address stands for
let asked = false; // what comes onto the canvas now was made by a press, not by the address

function tell(words) {
  say.textContent = words;
}

function current() {
  return window.chisel ? window.chisel.run() : null;
}

function refresh() {
  const run = current();
  panel.hidden = !run;
  const ready = Boolean(run) && run.state !== "running" && !busy;
  buttons.forEach((button) => { button.disabled = !ready; });
}

function download(file) {
  const binary = atob(file.data);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const url = URL.createObjectURL(new Blob([bytes], { type: file.type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 30000);
}

// Asks and answers in order; the buttons rest meanwhile, so that nobody asks twice.
async function ask(words, work) {
  busy = true;
  refresh();
  tell(words);
  address.hidden = true;
  try {
    tell((await work()) ?? "");
  } catch {
    tell("That did not arrive: try again.");
  }
  busy = false;
  refresh();
}

async function save(kind) {
  const run = current();
  const hand = changedByHand();
  const data = { run: run.id, step: window.chisel.step() + (run.offset ?? 0), as: kind };
  if (hand && kind === "png") data.tokens = packed(window.chisel.tokens());
  const file = await server.save(data);
  if (file.error) return file.error;
  download(file);
  return `Saved ${file.name}${hand && kind !== "png" ? WITHOUT_HAND : ""}`;
}

const WITHOUT_HAND = ", without what was changed by hand.";

function changedByHand() {
  return Number(document.querySelector(".cz-canvas").dataset.drafted) > 0;
}

function packed(tokens) {
  let binary = "";
  for (const byte of new Uint8Array(Int32Array.from(tokens).buffer)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

async function share() {
  const run = current();
  const hand = changedByHand() ? WITHOUT_HAND : "";
  const answer = await server.share({ run: run.id });
  if (answer.error) return answer.error;
  linked = run.id;
  const url = `${location.href.split("#")[0]}#${answer.hash}`;
  history.replaceState(history.state, "", `#${answer.hash}`);
  try {
    await navigator.clipboard.writeText(url);
  } catch {
    // no permission here (a frame, a plain http address): show it to be copied by hand
    address.value = url;
    address.hidden = false;
    address.select();
    return `Copy the link from the field${hand || "."}`;
  }
  return `Link copied${hand || "."}`;
}

buttons.forEach((button) => button.addEventListener("click", () => {
  const kind = button.dataset.as;
  if (kind) ask("Saving …", () => save(kind));
  else ask("Making the link …", share);
}));
// The address stands for one run: the one that it brought here, or whose link was made. Another one takes it off again,
// so that a reload or a copied address never brings back a picture that is no longer there.
document.addEventListener("chisel:ask", () => { asked = true; });
document.addEventListener("chisel:run", ({ detail: id }) => {
  if (!/^#c\d+(=|%3D)/i.test(location.hash)) return;
  if (!linked && !asked) linked = id;
  if (linked === id) return;
  linked = "";
  history.replaceState(history.state, "", location.href.split("#")[0]);
});
window.addEventListener("hashchange", () => { linked = ""; asked = false; });
for (const name of ["run", "done"]) {
  document.addEventListener(`chisel:${name}`, () => { tell(""); address.hidden = true; refresh(); });
}
refresh();
