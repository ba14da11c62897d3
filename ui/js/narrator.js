// Tells people who cannot see the canvas how a run goes: that it began, when half is set, how it ended. Nothing else:
// a voice at every step would drown everything.

const voice = element.querySelector(".cz-voice");
let told = "";

function narrate() {
  const canvas = document.querySelector(".cz-canvas");
  const { run, state, masked, step, last, edits } = canvas.dataset;
  if (!run) return;
  const { cells } = window.chisel.run();
  const half = Number(masked) * 2 <= cells ? "half" : "begun";
  const chapter = state === "running" ? `${run} ${half}` : `${run} ${state}`;
  if (chapter === told || (state === "running" && told === `${run} half`)) return;
  if (state !== "running" && step !== last) return; // scrubbing is the slider's own voice
  if (state !== "running" && !told.startsWith(run)) return void (told = chapter); // an older run is shown again
  told = chapter;
  const edited = `${edits} ${edits === "1" ? "token" : "tokens"} edited`;
  voice.textContent = state === "running" ? (half === "half" ? "Half of the tokens are set." : "Carving has begun.")
    : state === "done" ? `The picture is done after ${last} steps, ${edited}.`
    : state === "stopped" ? `Stopped at step ${last}.`
    : "The run failed.";
}

const waitForCanvas = () => {
  const canvas = document.querySelector(".cz-canvas");
  if (!canvas) return void setTimeout(waitForCanvas, 100);
  new MutationObserver(narrate).observe(canvas, { attributes: true, attributeFilter: ["data-run", "data-state", "data-masked", "data-step"] });
};
waitForCanvas();

// Buttons that only scripts press are no stop of the Tab key, and no voice reads them out. Gradio brings them later than
// the stage, and may make them anew.
setInterval(() => {
  for (const button of document.querySelectorAll(".cz-unseen:not([aria-hidden])")) {
    button.tabIndex = -1;
    button.setAttribute("aria-hidden", "true");
  }
}, 500);
