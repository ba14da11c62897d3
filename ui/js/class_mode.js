// Class mode: bigger words, and the controls that a lesson does not need step back. Kept in the address (?class=1), so
// that a teacher can put the link on the board.

const box = element.querySelector("[data-class-mode]");
const inAddress = () => new URLSearchParams(location.search).get("class") === "1";

function classMode(on) {
  document.body.classList.toggle("cz-class", on);
  box.checked = on;
}

box.addEventListener("change", () => {
  classMode(box.checked);
  const url = new URL(location.href);
  if (box.checked) url.searchParams.set("class", "1");
  else url.searchParams.delete("class");
  history.replaceState(history.state, "", url);
});
classMode(inAddress());
