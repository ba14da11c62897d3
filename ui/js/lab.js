// The self-correction lab: asks for a breakage of the picture on the canvas, shows it heal pass by pass, keeps the counts.

const q = (name) => element.querySelector(name);
const buttons = Array.from(element.querySelectorAll("[data-share]"));
const images = new Map();
const ROWS = 6;
let busy = false;

function press(share) {
  const run = window.chisel && window.chisel.run ? window.chisel.run() : null;
  if (busy) return;
  if (!run || run.state === "running") return say("Make a picture first: press Generate and let it finish.");
  setBusy(true);
  say("Breaking …");
  trigger("heal", { run: run.id, share, seed: crypto.getRandomValues(new Uint32Array(1))[0] });
}

function setBusy(on) {
  busy = on;
  buttons.forEach((b) => { b.disabled = on; });
  element.dataset.state = on ? "busy" : "idle";
}

function say(words) {
  q(".cz-lab-say").textContent = words;
}

watch("value", async () => {
  const told = props.value;
  if (!told) return;
  if (told.error) {
    setBusy(false);
    return say(told.error);
  }
  if (told.state === "waiting") return say("Waiting for the model …");
  if (!told.pictures) {
    setBusy(false);
    return say("Stopped.");
  }
  q(".cz-lab-pictures").hidden = false;
  const wrong = told.broken.length;
  const share = (n) => `${n} of ${wrong}, ${Math.round((n / wrong) * 100)} %`;
  for (const name of ["whole", "broken", "off", "on"]) {
    const mended = new Set(name === "whole" ? told.broken : name === "broken" ? [] : told[name]);
    picture(name, told.pictures[name], name === "whole" ? [] : told.broken, mended, told.columns);
  }
  if (told.state === "healing") return say(`Pass ${told.passes}: ${share(told.on.length)} came back.`);
  setBusy(false);
  const harmed = told.harmed ? ` It also changed ${told.harmed} that ${told.harmed === 1 ? "was" : "were"} whole.` : "";
  say(`${told.state === "stopped" ? "Stopped after" : "Done after"} ${told.passes} passes: ${share(told.on.length)} came back exactly.${harmed}`);
  Object.assign(element.dataset, { broken: String(wrong), on: String(told.on.length), off: String(told.off.length), harmed: String(told.harmed) });
  const row = document.createElement("tr");
  const cells = [`${wrong} (${told.share} %)`, share(told.off.length), share(told.on.length)];
  row.append(...cells.map((words, i) => {
    const cell = document.createElement(i ? "td" : "th");
    if (!i) cell.scope = "row";
    cell.textContent = words;
    return cell;
  }));
  q("tbody").prepend(row);
  while (q("tbody").children.length > ROWS) q("tbody").lastChild.remove();
  q(".cz-results").hidden = false;
});

// Orange rings are still wrong, blue ones came back; without colour vision: thick and thin.
async function picture(name, uri, broken, mended, columns) {
  const canvas = q(`[data-picture=${name}]`);
  if (!uri.startsWith("data:image/jpeg;base64,")) return;
  const image = images.get(name) || new Image();
  images.set(name, image);
  if (image.src !== uri) {
    image.src = uri;
    await image.decode().catch(() => {});
  }
  const ctx = canvas.getContext("2d");
  const side = canvas.width / columns;
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(image, 0, 0, canvas.width, canvas.height);
  for (const cell of broken) {
    const whole = mended.has(cell);
    const w = whole ? 1.5 : 3;
    const [x, y] = [(cell % columns) * side, Math.floor(cell / columns) * side];
    for (const [colour, width] of [["rgba(255,255,255,.9)", w + 2], [whole ? "#2f86d6" : "#e8671b", w]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = width;
      ctx.strokeRect(x + 2, y + 2, side - 4, side - 4);
    }
  }
}

buttons.forEach((b) => b.addEventListener("click", () => press(Number(b.dataset.share))));
