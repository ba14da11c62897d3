"""The stage of the studio as one Gradio component: canvas, timeline and inspector.

The template is static: nothing a visitor types is ever put into it, the JavaScript writes text through textContent.
The component's value is one message of `ui.frames`; the browser keeps all frames of a run and scrubs them itself.
"""

import time
from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent
SCRIPTS = ("frames.js", "paint.js", "timeline.js", "inspector.js", "token_grid.js")

TEMPLATE = """
<section class="cz" aria-label="Studio">
  <div class="cz-stage">
    <div class="cz-top">
      <div class="cz-views" role="group" aria-label="What to show on the grid">
        <button type="button" class="cz-view" data-view="picture" aria-pressed="true">Picture</button>
        <button type="button" class="cz-view" data-view="changes" aria-pressed="false">Changes</button>
        <button type="button" class="cz-view" data-view="confidence" aria-pressed="false">Confidence</button>
      </div>
      <ul class="cz-legend" aria-label="Legend">
        <li class="cz-key" data-views="picture changes"><i class="cz-swatch is-stone"></i>masked</li>
        <li class="cz-key" data-views="picture changes"><i class="cz-swatch is-set"></i>new</li>
        <li class="cz-key" data-views="picture changes"><i class="cz-swatch is-edit"></i>edited</li>
        <li class="cz-key" data-views="confidence" hidden>unsure<i class="cz-scale"></i>sure</li>
        <li class="cz-key" data-views="confidence" hidden><i class="cz-swatch is-dot"></i>guess</li>
      </ul>
    </div>
    <div class="cz-frame">
      <canvas class="cz-canvas" width="512" height="512" tabindex="0" role="application"
        aria-roledescription="token grid" aria-label="Token grid, empty until you press Generate."></canvas>
      <p class="cz-engraving">Press Generate<span>and watch the stone turn into a picture</span></p>
    </div>
    <div class="cz-timeline">
      <div class="cz-buttons">
        <button type="button" class="cz-icon cz-back" aria-label="One step back" disabled>
          <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M14 4v12L6 10z"/><path d="M4 4h2v12H4z"/></svg></button>
        <button type="button" class="cz-icon cz-play" aria-label="Play the steps" disabled>
          <svg viewBox="0 0 20 20" aria-hidden="true" class="cz-play-on"><path d="M5 3.5v13l11-6.5z"/></svg>
          <svg viewBox="0 0 20 20" aria-hidden="true" class="cz-play-off"><path d="M5 4h3.5v12H5zM11.500 4H15v12h-3.500z"/></svg>
        </button>
        <button type="button" class="cz-icon cz-next" aria-label="One step on" disabled>
          <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M6 4v12l8-6z"/><path d="M14 4h2v12h-2z"/></svg></button>
      </div>
      <div class="cz-track">
        <div class="cz-bars" aria-hidden="true"></div>
        <input class="cz-range" type="range" min="0" max="12" step="1" value="0" aria-label="Step" disabled>
      </div>
      <span class="cz-counter" aria-hidden="true"></span>
    </div>
    <p class="cz-status" role="status" aria-live="off"></p>
    <p class="cz-say" aria-live="polite"></p>
  </div>
  <aside class="cz-inspector is-empty" aria-label="Token inspector">
    <div class="cz-hint">
      <h2>Inspect a token</h2>
      <p>Click any cell of the grid, or walk it with the arrow keys, to see the model's probability for it and how it got there.</p>
      <ul class="cz-keys"><li><kbd>&larr;</kbd><kbd>&rarr;</kbd> cell</li><li><kbd>space</kbd> play</li><li><kbd>[</kbd><kbd>]</kbd> step</li></ul>
    </div>
    <div class="cz-token" hidden>
      <header><h2 class="cz-where"></h2>
        <button type="button" class="cz-icon cz-close" aria-label="Close the inspector">
          <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M5 6.400 6.400 5 10 8.600 13.600 5 15 6.400 11.400 10 15 13.600 13.600 15 10 11.400 6.400 15 5 13.600 8.600 10z"/></svg>
        </button></header>
      <div class="cz-facts">
        <canvas class="cz-patch" width="144" height="144" role="img" aria-label="The decoded patch and its neighbours"></canvas>
        <p><strong class="cz-p"></strong><span class="cz-p-label"></span></p>
      </div>
      <div class="cz-p-bar" aria-hidden="true"><i class="cz-p-fill"></i></div>
      <dl>
        <dt>Token</dt><dd class="cz-id"></dd>
        <dt>Entropy</dt><dd class="cz-h"></dd>
      </dl>
      <h3>Probability over the steps</h3>
      <svg class="cz-curve" viewBox="0 0 240 48" preserveAspectRatio="none" aria-hidden="true"></svg>
      <h3>History</h3>
      <ol class="cz-history"></ol>
    </div>
  </aside>
</section>
"""


class TokenGrid(gr.HTML):
    """The stage. Its value is a message of `ui.frames`, or None before the first run."""

    def __init__(self, value: Any = None, **kwargs: Any) -> None:
        script = "\n".join((HERE / "js" / name).read_text(encoding="utf-8") for name in SCRIPTS)
        kwargs = {"html_template": TEMPLATE, "js_on_load": script, "apply_default_css": False, **kwargs}
        super().__init__(value=value, **kwargs)

    def preprocess(self, payload: Any) -> None:
        """Nothing the browser holds is read back: the server keeps no picture and trusts none."""
        return None

    def postprocess(self, value: Any) -> Any:
        """The message as it is: a dict of the wire format, or None."""
        return value

    def api_info(self) -> dict[str, Any]:
        """The message is an object, for those who call the endpoint themselves."""
        return {"type": "object", "description": "one message of the wire format in ui/frames.py"}


class Notice(gr.HTML):
    """One sentence under the Generate button. Written as text, so it may safely quote what a visitor typed."""

    def __init__(self, **kwargs: Any) -> None:
        script = """
            const line = element.querySelector(".cz-notice");
            watch("value", () => {
                line.textContent = String(props.value?.text ?? "");
                if (line.textContent && window.chisel) window.chisel.refused();
            });
        """
        template = '<p class="cz-notice" role="alert"></p>'
        super().__init__(value=None, html_template=template, js_on_load=script, apply_default_css=False, **kwargs)

    def postprocess(self, value: Any) -> dict[str, Any]:
        """The text with a number that differs each time: the same sentence twice is still said twice."""
        return {"text": "" if value is None else str(value), "said": time.monotonic_ns()}

    def api_info(self) -> dict[str, Any]:
        """An object with the sentence under "text"."""
        return {"type": "object", "description": 'the sentence for the visitor under "text", empty when all is well'}
