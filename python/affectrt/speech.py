"""A loaded speech model: clips of sound in, typed answers out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import InputError
from .loaded import LoadedModel
from .model import LabelScores, Progress
from .results import HeadResult, Heads
from .sounds import Clip, SoundLike, check_sounds, clip_of, clips_of, is_one_sound
from .speech_results import SpeechResult, SpeechWindow

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .loading import LoadOptions
    from .speech_stream import Segment, SpeechStream, StreamOptions

_PORTION_SAMPLES = 1 << 23  # 32 MB of float32: what is read before it is answered


class SpeechModel(LoadedModel):
    """A speech model that is ready to answer; made by `affectrt.load`.

    Immutable and safe to call from many threads: calls share the weights, and the GIL is released
    while they compute. An answer depends, to the bit, neither on the other clips of a call nor on
    the number of threads.
    """

    def __init__(self, core: _core.SpeechModel, options: LoadOptions | None = None) -> None:
        super().__init__(core, options)
        self._core = core

    @property
    def sample_rate(self) -> int:
        """Hz that the model works at; sound of other rates is resampled to it."""
        return self._core.sample_rate

    @property
    def max_seconds(self) -> float:
        """The longest clip that is answered at once; longer ones are answered in windows."""
        return self._core.max_seconds

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self,
        sounds: SoundLike,
        *,
        sample_rate: int | None = None,
        heads: Sequence[str] | None = None,
        among: Mapping[str, Iterable[str]] | None = None,
        progress: Progress | None = None,
    ) -> SpeechResult: ...

    @overload
    def __call__(
        self,
        sounds: Iterable[SoundLike],
        *,
        sample_rate: int | None = None,
        heads: Sequence[str] | None = None,
        among: Mapping[str, Iterable[str]] | None = None,
        progress: Progress | None = None,
    ) -> list[SpeechResult]: ...

    def __call__(
        self,
        sounds: SoundLike | Iterable[SoundLike],
        *,
        sample_rate: int | None = None,
        heads: Sequence[str] | None = None,
        among: Mapping[str, Iterable[str]] | None = None,
        progress: Progress | None = None,
    ) -> SpeechResult | list[SpeechResult]:
        """Answers for one clip, or for a list of clips of any mix.

        A clip is the path of an audio file (WAV is read by affectrt itself; FLAC, OGG, MP3 by
        `soundfile`: ``pip install 'affectrt[audio]'``), an array of float32 or float64 (full scale
        is [-1, 1]), int16, int32 or uint8 samples of shape [samples] or [samples, channels],
        `(samples, sample_rate)`, or `{"array": ..., "sampling_rate": ...}`. Channels are averaged,
        and rates from 8000 to 192000 Hz are resampled. Level is not normalised.

        Args:
            sounds: One clip, or a list (or another iterable) of them.
            sample_rate: Hz of arrays that come without.
            heads: The names of those that shall answer, in that order; all if not given.
            among: Labels that can be at all, by the name of a single-label or ordinal head: its
                scores are then over these alone. A caller who knows that nobody is bored in this
                recording should say so.
            progress: Called as `progress(clips_done, clips_total)` between passes; what it raises
                ends the call.

        Raises `InputError`, naming the clip, for what is no sound, empty, damaged, NaN or infinite,
        and for impossible rates; `NotFoundError` for a missing file; `UnsupportedError` for a
        format that nothing here reads; `BackendError` when inference fails.
        """
        check_sounds(sounds, sample_rate)
        if progress is not None and not callable(progress):
            raise InputError(
                f"progress is {type(progress).__name__}; give a callable (done, total), or None"
            )
        asked = list(range(len(self._info.heads))) if heads is None else self._head_indices(heads)
        allowed = self._allowed(among or {}, asked)
        single = is_one_sound(sounds)
        if not single and not isinstance(sounds, Sequence):
            sounds = list(sounds)  # type: ignore[arg-type]
        total = 1 if single else len(sounds)  # type: ignore[arg-type]
        clips = clips_of(sounds, sample_rate)
        results = self._hear(clips, asked, allowed, progress and (lambda n: progress(n, total)))
        return results[0] if single else results

    def _hear(
        self,
        clips: Iterable[Clip],
        heads: list[int] | None = None,
        allowed: dict[int, list[int]] | None = None,
        notify: Callable[[int], object] | None = None,
    ) -> list[SpeechResult]:
        """Answers for clips, read as they are needed; `notify` is told how many are done."""
        asked = list(range(len(self._info.heads))) if heads is None else heads
        results: list[SpeechResult] = []
        portion: list[Clip] = []

        def answer() -> None:
            done = len(results)
            tell = None if notify is None else (lambda n, _: notify(done + n))
            results.extend(self._answers(portion, asked, allowed or {}, tell))
            portion.clear()

        for clip in clips:
            portion.append(clip)
            if sum(len(one.samples) for one in portion) >= _PORTION_SAMPLES:
                answer()
        if portion:
            answer()
        return results

    def predict_proba(
        self,
        sounds: SoundLike | Iterable[SoundLike],
        head: str | None = None,
        *,
        sample_rate: int | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """Scores of `head` (the primary one if not given), float32 `[clips, labels]`, in the order
        of `labels(head)`. Arguments and errors are those of calling the model."""
        return self._scores(sounds, head, sample_rate, progress).scores

    def predict_logits(
        self,
        sounds: SoundLike | Iterable[SoundLike],
        head: str | None = None,
        *,
        sample_rate: int | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """Logits of `head` (the primary one if not given), float32 `[clips, labels]`; see
        `predict_proba`."""
        return self._scores(sounds, head, sample_rate, progress).logits

    def embed(
        self,
        sounds: SoundLike | Iterable[SoundLike],
        *,
        sample_rate: int | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """The pooled vectors that the heads read, float32 `[clips, width]`.

        Arguments and errors are those of calling the model; `UnsupportedError` where the backend
        cannot give them.
        """
        check_sounds(sounds, sample_rate)
        clips = list(clips_of(sounds, sample_rate))
        prediction = self._predict(clips, [], [], progress, embeddings=True)
        assert prediction.embeddings is not None
        return prediction.embeddings

    def stream(
        self,
        *,
        sample_rate: int,
        channels: int | None = None,
        **options: Unpack[StreamOptions],
    ) -> SpeechStream:
        """A stream: sound in as it comes, segments of speech out, each with its answers.

        Args:
            sample_rate: Hz of the sound, 8000 to 192000.
            channels: of interleaved chunks; chunks may also be [samples, channels].
            options: See `affectrt.speech_stream.StreamOptions`.

        Raises `InputError` for options that make no sense.
        """
        from .speech_stream import make_stream

        return make_stream(self._core, self._info.heads, sample_rate, channels, options)

    def segments(
        self,
        sound: SoundLike,
        *,
        sample_rate: int | None = None,
        **options: Unpack[StreamOptions],
    ) -> Iterator[Segment]:
        """The segments of speech in a clip or a file of any length, one by one.

        The same as those of a `stream` of that sound. Of a file a few seconds at a time are in
        memory. Arguments and errors are those of calling the model and of `stream`, raised when
        the first segment is asked for, or where the damage is.
        """
        from .sound_blocks import open_sound
        from .speech_stream import segments_of

        check_sounds(sound, sample_rate)
        if isinstance(sound, str | os.PathLike):
            opened = open_sound(sound)
            stream = self.stream(sample_rate=opened.sample_rate, **options)
            yield from segments_of(stream, opened.blocks)
            return
        clip = clip_of(sound, sample_rate, "sound")
        stream = self.stream(sample_rate=clip.sample_rate, **options)
        yield from segments_of(stream, [clip.samples])

    def _scores(
        self,
        sounds: SoundLike | Iterable[SoundLike],
        head: str | None,
        sample_rate: int | None,
        progress: Progress | None,
    ) -> _core.HeadScores:
        index = self._head_index(head)
        check_sounds(sounds, sample_rate)
        clips = list(clips_of(sounds, sample_rate))
        return self._predict(clips, [index], [], progress).heads[0]

    def _predict(
        self,
        clips: list[Clip],
        heads: list[int],
        restrictions: list[tuple[int, list[int]]],
        progress: Progress | None,
        *,
        embeddings: bool = False,
    ) -> _core.SpeechPrediction:
        return self._core.predict(
            [clip.samples for clip in clips],
            [clip.sample_rate for clip in clips],
            heads=heads,
            restrictions=restrictions,
            progress=progress,
            embeddings=embeddings,
        )

    def _answers(
        self,
        clips: list[Clip],
        heads: list[int],
        allowed: dict[int, list[int]],
        progress: Progress | None,
    ) -> list[SpeechResult]:
        prediction = self._predict(clips, heads, list(allowed.items()), progress)
        of_clips = self._heads(prediction.heads, heads, allowed)
        of_windows = self._heads(prediction.window_heads, heads, allowed)
        seconds = (prediction.windows / self.sample_rate).tolist()
        windows = [
            SpeechWindow(start, end, answers)
            for (start, end), answers in zip(seconds, of_windows, strict=True)
        ]
        begins = prediction.window_begin.tolist()
        facts = zip(
            prediction.duration_s.tolist(),
            prediction.level_dbfs.tolist(),
            prediction.clipped_share.tolist(),
            prediction.audible.tolist(),
            strict=True,
        )
        return [
            SpeechResult(clip.source, answers, *of_clip, tuple(windows[begin:end]))
            for clip, answers, of_clip, begin, end in zip(
                clips, of_clips, facts, begins, begins[1:], strict=False
            )
        ]

    def _heads(
        self, scores: Sequence[_core.HeadScores], heads: list[int], allowed: dict[int, list[int]]
    ) -> list[Heads]:
        by_head: list[list[HeadResult]] = []
        for index, one in zip(heads, scores, strict=True):
            info = self._info.heads[index]
            answers = LabelScores(info, one)
            results = [answers.answer(row) for row in range(len(one.scores))]
            if index in allowed:
                names = {info.labels[i] for i in allowed[index]}
                results = [_without_others(result, names) for result in results]
            by_head.append(results)
        return [Heads(row) for row in zip(*by_head, strict=True)]

    def _allowed(
        self, among: Mapping[str, Iterable[str]], asked: list[int]
    ) -> dict[int, list[int]]:
        allowed = {}
        for name, labels in among.items():
            index = self._head_index(name)
            info = self._info.heads[index]
            wanted = [labels] if isinstance(labels, str) else list(labels)
            unknown = [label for label in wanted if label not in info.labels]
            if unknown or not wanted:
                what = f"no label {unknown[0]!r}" if unknown else "no labels"
                raise InputError(
                    f"among: {what} for head {name!r}; it has: {', '.join(info.labels)}"
                )
            if index in asked:
                allowed[index] = [info.labels.index(label) for label in wanted]
        return allowed

    def _limits(self) -> str:
        return f"{self.sample_rate} Hz, up to {self.max_seconds:g} s at once"


def _without_others(result: HeadResult, names: set[str]) -> HeadResult:
    labels = tuple(label for label in result.labels if label.label in names)
    return HeadResult(result.name, result.task, labels, result.decided, result.unsure, result.level)
