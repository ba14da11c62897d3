// Bring your own: a picture to edit, a saved run, or a link in the address. The server checks what arrives.
// Runs inside gr.HTML's js_on_load; `element` and `server` come from there.

const say = element.querySelector(".up-say");
const PICTURE = [8, "The picture is too large: files can have up to 8 MiB."]; // a run's size depends on the model's grid

function read(file) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result).split(",", 2)[1] ?? "");
    reader.onerror = fail;
    reader.readAsDataURL(file);
  });
}

// The sentence stands in the Edit task: whoever dropped a file elsewhere is taken there.
function refuse(words) {
  say.textContent = words;
  window.chisel.task("edit");
}

// Only the bytes are sent: neither the file's name nor its path reaches the server.
async function bring(kind, file) {
  if (!file) return;
  if (kind === "picture" && file.size > PICTURE[0] * 2 ** 20) return refuse(PICTURE[1]);
  say.textContent = "Reading …";
  try {
    const fits = kind === "run" ? await server.run_fits({ size: file.size }) : {};
    if (fits.error) return refuse(fits.error);
    const data = { file: await read(file) };
    const answer = kind === "picture" ? await server.upload_picture(data) : await server.open_run(data);
    if (answer.error) return refuse(answer.error);
    say.textContent = "";
    if (kind === "run") window.chisel.follow(answer.message);
    window.chisel.show(answer.message);
    if (kind === "picture") { window.chisel.task("edit"); window.chisel.tool("mask"); }
  } catch {
    refuse("The file did not arrive: try again.");
  }
}

for (const kind of ["picture", "run"]) {
  const field = element.querySelector(`.up-${kind}-file`);
  element.querySelector(`.up-${kind}`).addEventListener("click", () => { field.value = ""; field.click(); });
  field.addEventListener("change", () => bring(kind, field.files[0]));
}

// A picture or a saved run dropped on the canvas does the same.
document.addEventListener("dragover", (event) => {
  if (event.dataTransfer && event.dataTransfer.types.includes("Files")) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  const file = event.dataTransfer && event.dataTransfer.files[0];
  if (!file) return;
  event.preventDefault();
  bring(file.type.startsWith("image/") ? "picture" : "run", file);
});

// A link in the address: carved anew as soon as the page is ready, and again when another one is pasted.
function openLink() {
  if (!/^#c\d+(=|%3D)/i.test(location.hash)) return;
  const button = document.querySelector("#open-link");
  if (window.chisel && button) button.click();
  else requestAnimationFrame(openLink);
}
window.addEventListener("hashchange", openLink);
openLink();
