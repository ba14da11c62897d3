"""The sampler with a person in its place: one forward pass at a time, who decides which cells to set or send back.

What a step offers comes from `mdm_core.diffusion.step`, and what is decided is carried out there: who takes at every
step what the sampler would take gets the sampler's run, token by token.

    >>> game = ByHand(pipe, "a panda", seed=1)
    >>> while not game.over:
    ...     turn = game.turn(game.look())
    ...     game.take(turn, turn.commits, turn.edits[:, 0])
    >>> game.run.tokens  # those of pipe.generate("a panda", seed=1)

Nothing but the records is kept between two steps: all else of the sampler's state follows from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mdm_core.diffusion import step as steps
from mdm_core.diffusion.sampler import begin, start_records
from mdm_core.diffusion.step import Choice, Edits, Prediction, State
from mdm_core.diffusion.trajectory import StepRecord, Trajectory
from mdm_core.explain.outlook import Outlook, outlook
from mdm_core.settings import SampleConfig


@dataclass(frozen=True)
class Turn:
    """What one forward pass offers at a step, before anything is decided. L cells; arrays of positions are int."""

    k: int
    phase: str  # "unmask", or "polish" once the steps are over and every token is set
    tokens: np.ndarray  # int32 [L], before the step; V where masked
    drawn: np.ndarray  # int32 [L], the token drawn for a masked cell; elsewhere the one that is there
    confidence: np.ndarray  # float32 [L], p(drawn) at temperature 1
    best: np.ndarray  # int32 [L], the likeliest token
    order: np.ndarray  # [m], the masked cells in the sampler's order; its end is what it would set last
    chance: np.ndarray  # [m], the masked cells in an order that only the run's own noise decides
    commits: np.ndarray  # [n], what the sampler would set
    edits: np.ndarray  # int32 [e, 3], rows (position, from, to) that the sampler would change
    state: State  # of one image, never written to
    prediction: Prediction
    config: SampleConfig


class ByHand:
    """A run of the sampler that somebody decides step by step; the arguments are those of `Pipeline.stream`.

    Raises:
        ValueError where `tokens` leave nothing to be made, or as `Pipeline.stream` does.
    """

    def __init__(
        self,
        pipe: Any,
        prompt: str,
        *,
        seed: int = 0,
        negative: str | None = None,
        tokens: Any = None,
        locked: Any = None,
        records: Sequence[StepRecord] = (),
        **settings: Any,
    ):
        """records: of the same run so far, to go on from where it stood."""
        self.pipe, self.prompt, self.seed, self.negative = pipe, prompt, seed, negative
        self.config: SampleConfig = pipe.settings(**settings)
        pipe.condition(prompt, negative)  # whoever asks wrongly learns it now
        start, held, _ = pipe._start(tokens, locked, None)
        if not (start == pipe.vocab_size).any():
            raise ValueError("nothing is masked, so there is nothing to decide: start from masked cells")
        self._start, self._held = start, held
        first = start_records(self._state(()), pipe.vocab_size, self.config)
        self.records: list[StepRecord] = list(records or first)

    # ---- where it stands --------------------------------------------------------------------------------

    @property
    def tokens(self) -> np.ndarray:
        """int32 [L], V where masked."""
        return self.records[-1].tokens

    @property
    def phase(self) -> str:
        """Of the next step."""
        left = bool((self.tokens == self.pipe.vocab_size).any())
        return "unmask" if left or len(self.records) <= self.config.steps else "polish"

    @property
    def over(self) -> bool:
        """Nothing is masked, the steps are over, and so are the polish passes, or nothing is left to polish."""
        if self.phase == "unmask":
            return False
        passes = sum(record.phase == "polish" for record in self.records)
        return self.config.edit != "overwrite" or passes >= self.config.polish or self._done

    _done = False  # the last pass found nothing to edit, and nothing that waits for its rest to end

    @property
    def run(self) -> Trajectory:
        """All that was decided so far, as a run like any other."""
        told = self.pipe._told(self.seed, self.negative, self.config)
        made: Trajectory = self.pipe.trajectory(self.prompt, told, list(self.records))
        return made

    def rewound(self, k: int) -> ByHand:
        """The same run as it stood after record `k`; this one stays as it is."""
        if isinstance(k, bool) or not isinstance(k, int) or not 0 <= k < len(self.records):
            raise ValueError(f"this run has the records 0..{len(self.records) - 1}, got {k!r}")
        other = object.__new__(ByHand)
        other.__dict__.update(self.__dict__)
        other.records = self.records[: k + 1]
        other._done = self._done and k == len(self.records) - 1
        return other

    # ---- one step ---------------------------------------------------------------------------------------

    def look(self) -> Outlook:
        """The forward pass of the next step."""
        grid = self.tokens.reshape(self.pipe.grid)
        return outlook(self.pipe, self.prompt, grid, self.config.guidance, self.negative)

    def turn(self, seen: Outlook, temperature: float | None = None) -> Turn:
        """What the next step offers, from the pass that `look` made.

        temperature: other than the run's own; the pass serves for all of them, see `Forward.decide`.
        """
        V, config, k, phase = self.pipe.vocab_size, self.config, len(self.records), self.phase
        if temperature is not None:
            config = dataclasses.replace(config, temperature=temperature)
        s = self._state(self.records)
        tokens = torch.from_numpy(s.tokens.copy())
        told = self.pipe.forward.decide(seen.hidden[None], tokens, [self.seed], k, config)
        p = Prediction(*(getattr(told, name).cpu().numpy() for name in Prediction._fields))
        masked = s.tokens == V  # [1, L]
        if phase == "polish":
            order = chance = commits = np.zeros(0, int)
            edits = steps.choose_edits(s, p, ~masked, k, config, V)
        else:
            # each draws the step's noise: so each from a state of its own
            own = self._state(self.records)
            order = steps.commit_order(own, p, masked, k, config)[0, : masked.sum()]
            own, at_random = self._state(self.records), dataclasses.replace(config, order="random")
            chance = steps.commit_order(own, p, masked, k, at_random)[0, : masked.sum()]
            committed, edits = steps.choose(self._state(self.records), p, k, config, V)
            commits = order[committed[0, order]]
        return Turn(
            k=k,
            phase=phase,
            tokens=self.tokens,
            drawn=np.where(masked, p.token, s.tokens)[0].astype(np.int32),
            confidence=np.where(masked, p.confidence, p.current_p)[0].astype(np.float32),
            best=p.best[0].astype(np.int32),
            order=order,
            chance=chance,
            commits=commits,
            edits=np.stack(edits[1:], axis=1).astype(np.int32),
            state=s,
            prediction=p,
            config=config,
        )

    def take(
        self, turn: Turn, commit: Sequence[int] | np.ndarray, edit: Any = (), back: Any = ()
    ) -> StepRecord:
        """Carries a step out, and gives its record.

        Args:
            turn: what was offered, of the step that comes next.
            commit: masked cells that take the token drawn for them.
            edit: cells of `turn.edits` that are changed as it says there.
            back: cells that are masked again.
        Raises:
            ValueError where a cell is named twice or its part does not suit it; nothing has happened then.
        """
        V, L = self.pipe.vocab_size, len(self.tokens)
        if turn.k != len(self.records) or not np.array_equal(turn.tokens, self.tokens):
            raise ValueError(f"that was offered for step {turn.k}, and next comes step {len(self.records)}")
        masked = self.tokens == V  # [L]
        commit, edit, back = (
            _cells(cells, L, name) for cells, name in ((commit, "set"), (edit, "edit"), (back, "send back"))
        )
        every = np.concatenate([commit, edit, back])
        if len(np.unique(every)) != len(every):
            raise ValueError("a cell can only be set, edited or sent back, and that once")
        if not masked[commit].all():
            raise ValueError("only masked cells can be set")
        if masked[back].any() or self._held[back].any():
            raise ValueError("only cells that are set and not locked can be sent back")
        offered = {int(row[0]): row for row in turn.edits}
        if not all(int(cell) in offered for cell in edit):
            raise ValueError("only cells that the model would change can be edited")
        # in the order that they were offered in, the best gains first, as the sampler writes them down
        changed = [turn.edits[i] for i in np.flatnonzero(np.isin(turn.edits[:, 0], edit))]
        changed += [np.array([cell, self.tokens[cell], V], np.int32) for cell in back]
        rows = np.array(changed, np.int64).reshape(-1, 3)
        edits = Edits(np.zeros(len(rows), int), *rows.T)
        s = turn.state.pick(np.arange(1))
        committed = np.isin(np.arange(L), commit)[None]  # [1, L]
        done = turn.phase == "polish" and bool(steps.polished(s, turn.prediction, edits, turn.config, V)[0])
        (record,) = steps.carry_out(
            s, turn.prediction, turn.k, turn.phase, Choice(committed, edits), turn.config, V
        )
        self.records.append(record)
        self._done = done
        return record

    # ---- the sampler's state ----------------------------------------------------------------------------

    def _state(self, records: Sequence[StepRecord]) -> State:
        """The sampler's state after these records, the start among them."""
        pipe, rest = self.pipe, 1 + self.config.edit_cooldown
        s = begin(
            self._start[None], [self.seed], mask_id=pipe.vocab_size, grid=pipe.grid, locked=self._held[None]
        )
        for record in records[1:]:
            if record.phase == "unmask":  # the noise of its order
                s.random[0].gumbel(size=s.tokens.shape[1])
            touched = record.edited[:, 0]
            s.edits[0, touched] += 1
            s.rest[0, record.committed] = s.rest[0, touched] = record.step + rest
        if len(records):
            s.tokens = records[-1].tokens[None].astype(np.int64)
        return s


def _cells(cells: Any, length: int, name: str) -> np.ndarray:
    """Positions as int64 [n]; ValueError where they are none."""
    array = np.asarray(cells)
    if not array.size:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"the cells to {name} must be whole numbers, got {array.dtype} {array.shape}")
    if array.min() < 0 or array.max() >= length:
        raise ValueError(f"the cells to {name} must lie in 0..{length - 1}")
    return array.astype(np.int64)
