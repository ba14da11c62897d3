"""The measurement of NL-Diffusion-Image's shape, at a shape that any machine runs."""

import json

import torch

from trainer.bench.families import nl_diffusion as bench


def test_both_tails_draw_from_the_same_probabilities():
    g = torch.Generator().manual_seed(0)
    both, head = torch.randn(2, 24, 16, generator=g), torch.randn(40, 16, generator=g) / 4
    torch.manual_seed(0)
    p = ((1 + bench.GUIDANCE) * both[0] @ head.t() - bench.GUIDANCE * both[1] @ head.t()).softmax(-1)
    for tail in (bench.published_tail, bench.fused_tail):
        token, told = tail(both, head)
        assert torch.allclose(p.gather(1, token[:, None])[:, 0], told, rtol=1e-4, atol=1e-6)


def test_the_full_shape_is_the_published_one():
    assert bench.FULL.body.slots == 1024 and bench.FULL.tokenizer.codebook_size == 131_072
    (prompt,) = bench._Prompts(bench.FULL.body).encode(["x"])
    assert len(prompt.ids) == 1141 and prompt.told < prompt.first == bench.BEFORE


def test_a_run_edits_and_every_figure_is_there(tmp_path, capsys):
    arguments = [
        "--tiny",
        "--device",
        "cpu",
        "--runs",
        "1",
        "--steps",
        "4",
        "--seconds",
        "0",
        "--out",
        str(tmp_path),
    ]
    bench.main(arguments)
    said = capsys.readouterr().out
    row = json.loads(said[said.index("{") : said.index("\n}\n") + 2])
    assert row["edits_of_the_last_run"] > 0 and set(row["seconds"]) == {"step", "run", "decode", "encode"}
    assert '"share_of_published"' in said and not list(tmp_path.iterdir())
