// Writes into the prompt box as a hand would: Gradio hears of it, and the caret stands after the new word.

const box = () => document.querySelector("#prompt textarea");

function write(text, caret) {
  const field = box();
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.setSelectionRange(caret, caret);
}
