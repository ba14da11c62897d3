"""Answers that nobody reads: Gradio ends its stream a moment late, and a press that falls between is kept."""

from hands import make

from ui.record.browser import dataset, settled

# Lets each stream's last word (that it closes) arrive late, as on a busy machine: a press that is accepted until then
# believes its answers will come over a stream that the server has already left.
LATE = """() => {
    const real = window.fetch;
    window.late = { holds: 0, letGo: () => {} };
    window.fetch = async (...asked) => {
        const answer = await real(...asked);
        const url = asked[0] instanceof Request ? asked[0].url : String(asked[0]);
        if (!url.includes("/queue/data")) return answer;
        const words = new TextDecoder(), bytes = new TextEncoder();
        const hold = new TransformStream({
            async transform(chunk, out) {
                const text = words.decode(chunk, { stream: true });
                const at = text.lastIndexOf("data: ", text.indexOf('"close_stream"'));
                if (!text.includes('"close_stream"')) return out.enqueue(chunk);
                if (at > 0) out.enqueue(bytes.encode(text.slice(0, at)));
                window.late.holds += 1;
                await new Promise((done) => { window.late.letGo = done; });
                out.enqueue(bytes.encode(text.slice(at)));
            },
        });
        return new Response(answer.body.pipeThrough(hold), { status: answer.status, headers: answer.headers });
    };
}"""


def test_a_press_while_the_last_stream_closes_is_answered(visit):
    page = visit()
    page.evaluate(LATE)
    make(page, steps=1)
    page.wait_for_function("() => window.late.holds === 1")
    before = dataset(page)["run"]
    page.locator("#seed input").fill("2")
    with page.expect_response("**/queue/join*"):
        page.locator("#generate:enabled").click()
    page.evaluate("() => { window.late.letGo(); }")
    assert settled(page, other_than=before)["run"] != before
