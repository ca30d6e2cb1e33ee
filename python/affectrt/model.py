"""A loaded model: texts in, typed answers out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import InputError
from .info import HeadInfo
from .inputs import Rows, TextLike, rows_of
from .loaded import LoadedModel
from .results import TOKEN_TASKS, HeadResult, Heads, Label, Result, Span
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from .conversation import Conversation
    from .evidence import Explanation
    from .label_maps import LabelMapping, Lexicon
    from .loading import LoadOptions
    from .long_text import LongResult, OddOneOut, Pool
    from .retrieval import Index
    from .sounds import SoundLike
    from .speech import SpeechModel
    from .turns import Turn

Progress: TypeAlias = Callable[[int, int], object]
"""Called as `progress(rows_done, rows_total)` between batches."""

FloatArray: TypeAlias = npt.NDArray[np.float32]
_T = TypeVar("_T")

_TOGETHER = 64  # texts whose scores lie together until their last answer is dropped


class _CancelledError(Exception):
    """Ends the work of a cancelled coroutine at the next batch; nobody is left to see it."""


class LabelScores:
    """A head's scores of some texts, and its answer to each of them."""

    __slots__ = ("_info", "_rows")

    def __init__(
        self, info: HeadInfo, scores: _core.HeadScores, begin: int = 0, end: int | None = None
    ) -> None:
        self._info = info
        part = slice(begin, end)
        self._rows = list(
            zip(
                scores.scores[part].tolist(),
                scores.decided[part].tolist(),
                scores.unsure[part].tolist(),
                repeat(None) if scores.levels is None else scores.levels[part].tolist(),
                strict=False,
            )
        )

    def answer(self, row: int) -> HeadResult:
        """The answer to the text `row` of these."""
        values, decided, unsure, level = self._rows[row]
        names = self._info.labels
        order: Iterable[int] = range(len(values))
        if self._info.task != "regression":  # ties stay in the model's order
            order = sorted(order, key=values.__getitem__, reverse=True)
        return HeadResult(
            self._info.name,
            self._info.task,
            tuple([Label(names[i], values[i]) for i in order]),
            tuple([names[i] for i in order if decided[i]]),
            unsure,
            level,
        )


def _span_results(info: HeadInfo, texts: list[str], scores: _core.HeadScores) -> list[HeadResult]:
    assert scores.spans is not None
    assert scores.span_scores is not None
    assert scores.span_begin is not None
    names: tuple[str | None, ...] = info.labels
    if info.task == "span":
        names = (None,)
    elif info.task == "token_labels":  # O, B-x, I-x, B-y, ...
        names = tuple(label[2:] for label in info.labels[1::2])
    results = []
    begins = scores.span_begin.tolist()
    rows = list(zip(scores.spans.tolist(), scores.span_scores.tolist(), strict=True))
    for text, begin, end in zip(texts, begins, begins[1:], strict=False):
        found = [
            (Span(start, stop, text[start:stop], names[label], score), decided)
            for (_, _, label, decided, start, stop), score in rows[begin:end]
        ]
        spans = tuple(span for span, decided in found if decided)
        candidates = tuple(span for span, _ in found) if info.task == "span" else ()
        results.append(HeadResult(info.name, info.task, (), (), False, None, spans, candidates))
    return results


class Model(LoadedModel):
    """A model that is ready to answer; made by `affectrt.load`.

    Immutable and safe to call from many threads: calls share the weights and the backend, and the
    GIL is released while they compute. Answers do not depend on how texts are grouped into calls,
    beyond the backend's own rounding.
    """

    def __init__(self, core: _core.Model, options: LoadOptions | None = None) -> None:
        super().__init__(core, options)
        self._core = core
        self._tokenizer = Tokenizer(core.tokenizer)
        self._known_words: Lexicon | None = None  # made when it is first asked for

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own tokenizer, shared with it."""
        return self._tokenizer

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self,
        texts: TextLike,
        *,
        heads: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Result: ...

    @overload
    def __call__(
        self,
        texts: Iterable[TextLike],
        *,
        heads: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> list[Result]: ...

    def __call__(
        self,
        texts: TextLike | Iterable[TextLike],
        *,
        heads: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Result | list[Result]:
        """Answers for one text, one pair `(text, pair)`, or a list of these.

        A tuple is always one pair; several texts are a list (or another iterable).
        `heads` are the names of those that shall answer, in that order; if not given, all that
        judge a text or a turn (`info.heads[i].input`), a text alone being a turn without history.
        Heads that judge a turn as a cause, or before a reply, answer in a conversation; here they
        can be named for pairs whose second text is the context, as they were trained on it. Those
        that look for answers (input "question") take pairs `(text, question)`; a model that has no
        others is asked without naming them.
        `progress(rows_done, rows_total)` is called between batches; what it raises ends the call.

        Raises `InputError`, naming the row, for what is not text, for empty texts and for lone
        surrogates; `BackendError` when inference fails. A text longer than `info.max_tokens` is
        answered from its beginning and its result says `truncated`.
        """
        indices = None if heads is None else self._head_indices(heads)
        rows = rows_of(texts)
        prediction = self._predict(rows, indices, progress)
        results = self._results(rows, prediction)
        return results[0] if rows.single else results

    def predict_proba(
        self,
        texts: TextLike | Iterable[TextLike],
        head: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> FloatArray:
        """Calibrated scores, float32 `[texts, labels(head)]`; of a regression head its values.

        One text gives one row. Arguments and errors are those of calling the model.
        """
        return self._scores(texts, head, progress).scores

    def predict_logits(
        self,
        texts: TextLike | Iterable[TextLike],
        head: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> FloatArray:
        """What the network puts out before temperature and activation, float32 `[texts, labels]`.

        One text gives one row. Arguments and errors are those of calling the model.
        """
        return self._scores(texts, head, progress).logits

    @overload
    async def acall(  # type: ignore[overload-overlap]
        self,
        texts: TextLike,
        *,
        heads: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Result: ...

    @overload
    async def acall(
        self,
        texts: Iterable[TextLike],
        *,
        heads: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> list[Result]: ...

    async def acall(
        self,
        texts: TextLike | Iterable[TextLike],
        *,
        heads: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Result | list[Result]:
        """As calling the model, in a worker thread of the loop's default executor.

        The event loop stays free meanwhile, and `progress` is called on it. Cancelling the
        coroutine returns at once; the work behind it stops at its next batch.
        """
        return await _in_thread(lambda notify: self(texts, heads=heads, progress=notify), progress)

    async def apredict_proba(
        self,
        texts: TextLike | Iterable[TextLike],
        head: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> FloatArray:
        """As `predict_proba`, without blocking the event loop; see `acall`."""
        return await _in_thread(
            lambda notify: self.predict_proba(texts, head, progress=notify), progress
        )

    async def apredict_logits(
        self,
        texts: TextLike | Iterable[TextLike],
        head: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> FloatArray:
        """As `predict_logits`, without blocking the event loop; see `acall`."""
        return await _in_thread(
            lambda notify: self.predict_logits(texts, head, progress=notify), progress
        )

    def embed(
        self, texts: TextLike | Iterable[TextLike], *, progress: Progress | None = None
    ) -> FloatArray:
        """The pooled vectors that the heads read, float32 `[texts, width]`.

        Arguments and errors are those of calling the model; `UnsupportedError` where the backend
        cannot give them.
        """
        return self._embeddings(self._predict_with_embeddings(rows_of(texts), [], progress))

    def conversation(
        self,
        *,
        max_turns: int = 200,
        heads: Sequence[str] | None = None,
        index: Index | None = None,
        speech: SpeechModel | None = None,
    ) -> Conversation:
        """An empty conversation, which judges each turn in the light of those before it.

        `max_turns` is how many turns it remembers, and so bounds its memory; answers do not depend
        on it. `heads` are the names of those that shall answer for a turn, the first one the
        primary; if not given, all that judge a text or a turn. `index` holds labelled turns
        (`Index.of_dialogues`), whose votes the answers of its head are blended with; arc and causes
        stay those of the model alone.

        With `speech`, a speech model such as `affectrt.load("speech")`, turns may have audio beside
        words or in their place: see `Conversation.add`.

        Raises `InputError` for heads that there are not, or that judge something else than turns,
        and for a speech model whose first head names no emotions.
        """
        from .conversation import Conversation, core_of

        if isinstance(max_turns, bool) or not isinstance(max_turns, int) or max_turns < 1:
            raise InputError(f"max_turns is {max_turns!r}; give a positive int")
        indices = [] if heads is None else self._head_indices(heads)
        most = min(max_turns, 2**31 - 1)
        core = _core.Conversation.create(self._core, most, indices, core_of(speech))
        return Conversation(self, core, index, speech)

    def add_turns(
        self,
        additions: Iterable[
            tuple[Conversation, str, str] | tuple[Conversation, str, str | None, SoundLike | None]
        ],
        *,
        sample_rate: int | None = None,
        progress: Progress | None = None,
    ) -> list[Turn]:
        """Adds turns `(conversation, speaker, text)` or `(conversation, speaker, text, audio)` to
        any number of conversations of this model, all in one batch; all of them or, after an error,
        none.

        The conversations must have the same heads. Audio is taken, and errors are, as of
        `Conversation.add`; `sample_rate` is of arrays that come without their own.
        """
        from .conversation import add_turns

        return add_turns(self, additions, sample_rate, progress)

    def explain(
        self, text: str, head: str | None = None, label: str | None = None, top: int = 5
    ) -> Explanation:
        """The words of `text` that carried an answer: the `top` ones whose absence changes it most.

        The answer is `label` of `head`: the primary head and the label it decided, if not given.
        Each word (of a very long text each of 256 groups of words) is left out in turn, in one
        batch. Raises `InputError` for a head or label that there is not.
        """
        from .evidence import explain

        return explain(self, text, head, label, top)

    def analyze_long(
        self,
        text: str,
        *,
        window: int | None = None,
        overlap: int | None = None,
        pool: Pool = "mean",
        question: str | None = None,
        progress: Progress | None = None,
    ) -> LongResult:
        """Answers to a text of any length: of overlapping windows, all in one batch, and pooled.

        `window` is how many tokens a window has, special ones included (as many as the model
        takes), and `overlap` how many it shares with the one before (a quarter). `pool` says how
        the windows' logits become one: their "mean", weighted by the tokens that each adds, or
        "max", for what is said anywhere. Heads that name words answer in the windows alone.

        With a `question`, the heads that look for its answer read each window behind it. The whole
        text's candidates are the best of all windows, by their scores, which say how far each
        beats "no answer" in its own window; there is an answer where one window has one.
        """
        from .long_text import analyze_long

        return analyze_long(self, text, window, overlap, pool, question, progress)

    def odd_one_out(self, texts: Sequence[str], head: str | None = None) -> OddOneOut:
        """Which of at least three texts differs most in emotion from the rest.

        By the cosine of its logits of `head` (the primary one if not given) and those of all others
        together.
        """
        from .long_text import odd_one_out

        return odd_one_out(self, texts, head)

    def map_words(self, words: Sequence[str], onto: LabelMapping = "ekman") -> list[Label]:
        """Where words for emotions belong in a label map, of any vocabulary.

        A word that `map_label` knows is placed by it, with a score of 1; any other by the known
        words that are nearest to it in this model's embeddings, and its score is their votes' part
        for that answer. Raises `InputError` for an unknown map.
        """
        from .label_maps import map_words

        return map_words(self, words, onto)

    def _lexicon(self) -> Lexicon:
        if self._known_words is None:
            from .label_maps import Lexicon

            self._known_words = Lexicon(self)
        return self._known_words

    def _predict_with_embeddings(
        self, rows: Rows, heads: list[int], progress: Progress | None = None
    ) -> _core.Prediction:
        return self._core.predict(rows.texts, rows.pairs, heads, progress, 0, True)

    def _embeddings(self, prediction: _core.Prediction) -> FloatArray:
        assert prediction.embeddings is not None
        return prediction.embeddings

    def _scores_and_embeddings(self, rows: Rows, head: str) -> tuple[FloatArray, FloatArray]:
        prediction = self._predict_with_embeddings(rows, [self._head_index(head)])
        return prediction.heads[0].scores, self._embeddings(prediction)

    def _decoded(self, index: int, logits: FloatArray) -> HeadResult:
        """What a head decides of one row of logits."""
        scores = self._core.decode(index, logits)
        return LabelScores(self._info.heads[index], scores).answer(0)

    def _primary(self) -> int:
        return next(iter(self._core.text_heads), 0)

    def _limits(self) -> str:
        return f"up to {self._info.max_tokens} tokens"

    def _predict(
        self, rows: Rows, heads: list[int] | None, progress: Progress | None, max_tokens: int = 0
    ) -> _core.Prediction:
        if progress is not None and not callable(progress):
            raise InputError(
                f"progress is {type(progress).__name__}; give a callable (done, total), or None"
            )
        return self._core.predict(rows.texts, rows.pairs, heads, progress, max_tokens)

    def _scores(
        self, texts: TextLike | Iterable[TextLike], head: str | None, progress: Progress | None
    ) -> _core.HeadScores:
        index = self._head_index(head)
        info = self._info.heads[index]
        if info.task in TOKEN_TASKS:
            raise InputError(
                f"head {info.name!r} ({info.task}) answers with parts of a text, not with a score "
                "for each label; call the model for its spans"
            )
        return self._predict(rows_of(texts), [index], progress).heads[0]

    def _results(self, rows: Rows, prediction: _core.Prediction) -> list[Result]:
        answered = [
            (self._info.heads[index], scores)
            for index, scores in zip(prediction.answered, prediction.heads, strict=True)
        ]
        names = tuple(info.name for info, _ in answered)
        pairs = rows.pairs if rows.pairs is not None else [None] * len(rows.texts)
        truncated = prediction.truncated.tolist()
        spans = {
            info.name: _span_results(info, rows.texts, scores)
            for info, scores in answered
            if info.task in TOKEN_TASKS
        }
        results = []
        count = len(rows.texts)
        for begin in range(0, count, _TOGETHER):
            end = min(begin + _TOGETHER, count)
            makers = tuple(
                spans[info.name][begin:end].__getitem__
                if info.name in spans
                else LabelScores(info, scores, begin, end).answer
                for info, scores in answered
            )
            results += [
                Result(rows.texts[i], pairs[i], Heads._late(names, makers, i - begin), truncated[i])
                for i in range(begin, end)
            ]
        return results


async def _in_thread(work: Callable[[Progress], _T], progress: Progress | None) -> _T:
    import asyncio
    import threading

    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    def notify(done: int, total: int) -> None:
        if cancelled.is_set():
            raise _CancelledError
        if progress is not None:
            loop.call_soon_threadsafe(progress, done, total)

    try:
        return await loop.run_in_executor(None, work, notify)
    except asyncio.CancelledError:
        cancelled.set()
        raise
