// The palette of what the model knows: read from its card when it is first opened, searched in the browser.

const q = (name) => element.querySelector(name);
const search = q("input[type=search]");
const OTHERS = ["numbers", "colours", "backgrounds", "styles", "relations"]; // all other headings hold things
let sections = null;

// A thing right after another one: the captions that the model learnt say "and" between them.
function joins(before, word) {
  const things = sections.filter(([title]) => !OTHERS.includes(title)).flatMap(([, words]) => words.map((w) => w.toLowerCase()));
  const text = before.trimEnd().toLowerCase();
  return things.includes(word.toLowerCase()) && things.some((thing) => text === thing || text.endsWith(` ${thing}`));
}

// Puts a word where the caret is, with the spaces it needs.
function insert(word) {
  const field = box();
  const at = field.selectionStart ?? field.value.length;
  const to = field.selectionEnd ?? at;
  const before = field.value.slice(0, at);
  const after = field.value.slice(to);
  const put = `${before && !/\s$/.test(before) ? " " : ""}${joins(before, word) ? "and " : ""}${word}${after && !/^[\s,.]/.test(after) ? " " : ""}`;
  write(before + put + after, (before + put).length);
  said(`${word} added to the prompt`);
}

function said(words) {
  q(".cz-palette-none").hidden = false;
  q(".cz-palette-none").textContent = words;
}

async function open() {
  if (!sections) {
    const told = await server.palette(null);
    sections = told.error ? [] : told.sections;
  }
  list();
}

function list() {
  const wanted = search.value.trim().toLowerCase();
  const fits = sections.map(([title, words]) => [title, words.filter((w) => !wanted || w.toLowerCase().includes(wanted) || title === wanted)]);
  const groups = fits.filter(([, words]) => words.length).map(([title, words]) => {
    const group = document.createElement("section");
    const head = document.createElement("h3");
    head.textContent = title;
    const chips = document.createElement("div");
    chips.className = "cz-words";
    chips.append(...words.map((word) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.className = "cz-word";
      chip.textContent = word;
      chip.addEventListener("click", () => insert(word));
      return chip;
    }));
    group.append(head, chips);
    return group;
  });
  q(".cz-palette-list").replaceChildren(...groups);
  const none = q(".cz-palette-none");
  none.hidden = groups.length > 0;
  none.textContent = sections.length ? `Nothing it knows is called “${search.value.trim()}”.` : "This model does not say what it knows.";
}

q("details").addEventListener("toggle", () => { if (q("details").open) open(); });
search.addEventListener("input", () => { if (sections) list(); });
search.addEventListener("keydown", (event) => {
  const first = q(".cz-word");
  if (event.key === "Enter" && first) insert(first.textContent);
  if (event.key === "Escape" && search.value) {
    search.value = "";
    list();
    event.stopPropagation();
  }
});
