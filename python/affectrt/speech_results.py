"""What a speech model answers: plain, immutable values without a tie to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .results import HeadResult, Heads, Label, PrimaryAnswer


def _plain_answer(head: HeadResult) -> dict[str, Any]:
    """The answer of a head in one word or number, by the name of the head, or of the label."""
    if head.task == "regression":
        return dict(head.values)
    if head.task != "multi_label":
        return {head.name: head.decided[0]}
    if len(head.labels) == 1:
        return {head.name: bool(head.decided)}
    return {head.name: list(head.decided)}


@dataclass(frozen=True, slots=True, repr=False)
class SpeechWindow:
    """The part of a clip from `start_s` to `end_s`, in seconds, which was answered at once."""

    start_s: float
    end_s: float
    heads: Heads

    @property
    def emotions(self) -> tuple[Label, ...]:
        """All labels of the primary head, highest score first."""
        return self.heads._at(0).labels

    @property
    def decided(self) -> tuple[str, ...]:
        """The labels that belong to the answer of the primary head, highest score first."""
        return self.heads._at(0).decided

    def to_dict(self) -> dict[str, Any]:
        record: dict[str, Any] = {"start_s": self.start_s, "end_s": self.end_s}
        record["emotions"] = [label.to_dict() for label in self.emotions]
        record["decided"] = list(self.decided)
        for head in self.heads._results[1:]:
            for name, value in _plain_answer(head).items():
                record.setdefault(name, value)
        return record

    def __repr__(self) -> str:
        answer = "; ".join(f"{h.name}: {h._answer()}" for h in self.heads._results)
        return f"SpeechWindow({self.start_s:.2f}-{self.end_s:.2f} s: {answer})"


@dataclass(frozen=True, slots=True, repr=False)
class SpeechResult(PrimaryAnswer):
    """The answer to one clip of sound.

    `emotions`, `decided` and `unsure` are those of the primary head, the first that was asked;
    `heads` holds all of them by name. `source` is the file that was given, if one was.

    `level_dbfs` is the root mean square of the samples without their mean, in dB of full scale (at
    least -120), `clipped_share` the share of samples at full scale. A clip shorter than 0.1 s or
    below -70 dB has nothing to hear: `audible` is false then, and every answer `unsure`.

    `windows` are the parts that went through the model at once: one, or for a clip that is longer
    than `info.max_seconds` as few as possible of equal length. The answer to all of it is decided
    on the mean of their logits.

    >>> calm = HeadResult("emotion", "single_label", (Label("calm", 0.75),), ("calm",), False)
    >>> SpeechResult(None, Heads((calm,)), 1.5, -20.0, 0.0, True, ())
    SpeechResult(1.50 s: calm=0.750)
    """

    source: str | None
    heads: Heads
    duration_s: float
    level_dbfs: float
    clipped_share: float
    audible: bool
    windows: tuple[SpeechWindow, ...]

    def _value(self, label: str) -> float | None:
        for head in self.heads._results:
            if head.task == "regression" and label in head.values:
                return head.values[label]
        return None

    def _decision(self, name: str) -> Any:
        head = self.heads.get(name)
        return None if head is None else _plain_answer(head).get(name)

    @property
    def arousal(self) -> float | None:
        """How excited the voice is, -1 to 1; None where no head tells."""
        return self._value("arousal")

    @property
    def valence(self) -> float | None:
        """How pleasant what the voice shows is, -1 to 1; None where no head tells."""
        return self._value("valence")

    @property
    def snr_db(self) -> float | None:
        """Speech above noise in dB, as a head estimates it; None where none does."""
        return self._value("snr_db")

    @property
    def intensity(self) -> str | None:
        """The level of the head `intensity`, as in "normal" and "strong"; None without one."""
        level: str | None = self._decision("intensity")
        return level

    @property
    def speaker_sex(self) -> str | None:
        """The label of the head `speaker_sex`; None without one."""
        sex: str | None = self._decision("speaker_sex")
        return sex

    @property
    def shout(self) -> bool | None:
        """Whether the head `shout` says so; None without one."""
        shout: bool | None = self._decision("shout")
        return shout

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`.

        Keys: `file` where one was given, `duration_s`, `emotions` (a list of `{"label", "score"}`,
        highest score first), `decided`, `unsure`; then the other heads in short, values of a
        regression under the names of its labels (`arousal`, `valence`, `snr_db`), decided labels
        under the name of the head (`intensity`, `speaker_sex`), a head of one yes-or-no label as
        true or false (`shout`); `level_dbfs`, `clipped_share`, `audible`; `heads` with all scores,
        as in `Result.to_dict`; and `windows` where there are several, each with `start_s`, `end_s`
        and its own answers.
        """
        record: dict[str, Any] = {} if self.source is None else {"file": self.source}
        record["duration_s"] = self.duration_s
        record["emotions"] = [label.to_dict() for label in self.emotions]
        record["decided"] = list(self.decided)
        record["unsure"] = self.unsure
        facts = {
            "level_dbfs": self.level_dbfs,
            "clipped_share": self.clipped_share,
            "audible": self.audible,
        }
        taken = {*record, *facts, "file", "heads", "windows"}
        for head in self.heads._results[1:]:
            for name, value in _plain_answer(head).items():
                if name not in taken:
                    record.setdefault(name, value)
        record |= facts
        record["heads"] = {name: head.to_dict() for name, head in self.heads.items()}
        if len(self.windows) > 1:
            record["windows"] = [window.to_dict() for window in self.windows]
        return record

    def __repr__(self) -> str:
        source = "" if self.source is None else f"{self.source!r}, "
        notes = (", unsure" if self.unsure else "") + ("" if self.audible else ", nothing to hear")
        if len(self.heads) == 1:
            answer = self._primary._answer()
        else:
            answer = "; ".join(f"{h.name}: {h._answer()}" for h in self.heads._results)
        return f"SpeechResult({source}{self.duration_s:.2f} s: {answer}{notes})"
