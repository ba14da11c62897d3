"""Where a cell looks, words and cells: a part of the chapter on one step, opened with the transformer there.

The answer comes from the inspector's look-ups, which know the pass behind every step.
"""

from typing import Any

from ui.assemble import markup
from ui.inspector import lookups
from ui.server.studio import answered
from ui.stage.component import Static


def put(studio: Any) -> None:
    """Places the part; the browser hides it where the opened model does not tell."""
    seen = lookups.of(studio)

    def attend(data: Any) -> dict[str, Any]:
        """See `Lookups.attention`."""
        return answered(lambda: seen.attention(data))

    Static(
        markup("learn/attention/attention.html"),
        "attention",
        elem_id="attention",
        server_functions=[attend],
    )
