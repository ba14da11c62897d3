// The hint about words that the model does not know. It never holds up Generate.

const hint = element.querySelector(".cz-prompt-hint");
const HINT_MS = 350;
let timer = 0;
let asked = 0;

async function understand() {
  const prompt = box().value;
  const mine = ++asked;
  if (!prompt.trim() || prompt.length > 500) return clear();
  let told;
  try {
    told = await server.understand(prompt);
  } catch {
    return clear();
  }
  if (mine !== asked || box().value !== prompt) return;
  if (told.error || !told.sentence) return clear();
  const nodes = [];
  let rest = told.sentence; // the names in it become buttons where they stand
  for (const [start, end, word, near] of told.near) {
    const listed = `“${word}”. Near it: ${near.join(", ")}.`;
    const at = rest.indexOf(listed);
    if (at < 0) continue;
    nodes.push(document.createTextNode(`${rest.slice(0, at)}“${word}”. Near it:`));
    rest = rest.slice(at + listed.length);
    for (const name of near) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "cz-word";
      button.textContent = name;
      button.setAttribute("aria-label", `Write ${name} instead of ${word}`);
      button.addEventListener("click", () => {
        const text = box().value;
        if (text !== prompt) return;
        write(text.slice(0, start) + name + text.slice(end), start + name.length);
        box().focus();
      });
      nodes.push(document.createTextNode(" "), button);
    }
  }
  hint.replaceChildren(...nodes, document.createTextNode(rest));
  hint.hidden = false;
}

function clear() {
  hint.hidden = true;
  hint.replaceChildren();
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(understand, HINT_MS);
}

const waitForPrompt = () => {
  const field = box();
  if (!field) return void setTimeout(waitForPrompt, 100);
  field.addEventListener("input", later);
  later();
  // a chip or a share link fills the box without typing
  let seen = field.value;
  setInterval(() => {
    if (field.value === seen) return;
    seen = field.value;
    later();
  }, 500);
};
waitForPrompt();
