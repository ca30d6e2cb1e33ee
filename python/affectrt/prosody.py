"""Voice descriptors: pitch, voicing, loudness, jitter, shimmer, formants, spectral slopes.

The extended Geneva minimalistic acoustic parameter set (eGeMAPS) of Eyben et al. 2016, "The Geneva
Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective Computing", from the
definitions published there. Names are the published ones; values correlate with those of openSMILE
and do not equal them (bench/results/prosody.md says by how much, descriptor by descriptor).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import _core

__all__ = ["DESCRIPTORS", "FUNCTIONALS", "Prosody"]

DESCRIPTORS: tuple[str, ...] = _core.prosody_names
"""The 25 descriptors of a frame. Loudness and flux have units of their own, F0 is in semitones
above 27.5 Hz, jitter a share of the period, formant frequencies and bandwidths in Hz, slopes in
dB/Hz, MFCCs bare, all other in dB. What only a voiced frame has is 0 in unvoiced ones."""


FUNCTIONALS: tuple[str, ...] = _core.prosody_functional_names
"""The 88 statistics of a clip, by their published names."""


@dataclass(frozen=True)
class Prosody:
    """What `affectrt.features.prosody` finds in a clip."""

    frames: npt.NDArray[np.float32]
    """[frames, 25], columns as `DESCRIPTORS`; frame i lies 0.03 + 0.01 i seconds into the clip."""
    functionals: dict[str, float]
    """The 88 statistics, keys as `FUNCTIONALS`; 0 where there is nothing to take one of."""

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        """One descriptor over the frames, by its name in `DESCRIPTORS`; a KeyError otherwise."""
        if name not in DESCRIPTORS:
            raise KeyError(f"{name!r}; there are {', '.join(DESCRIPTORS)}")
        return self.frames[:, DESCRIPTORS.index(name)]

    @property
    def f0_hz(self) -> npt.NDArray[np.float32]:
        """The fundamental frequency [frames] in Hz; 0 in unvoiced frames."""
        semitones = self["F0semitoneFrom27.5Hz"]
        return np.where(semitones > 0, 27.5 * np.exp2(semitones / 12), 0).astype(np.float32)

    @property
    def voiced(self) -> npt.NDArray[np.bool_]:
        """Which frames are voiced, [frames]."""
        return self["F0semitoneFrom27.5Hz"] > 0
