"""What the browser tests of more than one file do: a run carved from beginning to end."""

from ui.record.browser import dataset, settled

TOKENS = "() => window.chisel.run().frames.map((frame) => Array.from(frame.tokens))"


def generate(page, prompt="a cat", steps=4, seed=1):
    """A finished run; returns its tokens, step by step."""
    before = dataset(page)["run"]
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#steps input[type=number]").fill(str(steps))
    page.locator("#seed input").fill(str(seed))
    page.locator("#generate:enabled").click()
    settled(page, other_than=before)
    return page.evaluate(TOKENS)
