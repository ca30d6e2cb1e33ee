"""Voice activity: a network of 4,801 weights on mel bands above their own noise floor.

    python -m affectrt.export.recipes.vad --data data/speech --out csrc/audio/vad_weights.inc

trains it in a minute or two on one CPU and writes the table that `csrc/audio/vad.cc` includes.
``python -m bench.vad`` compares it with a detector by energy on sound that neither has heard.

It learns from two kinds of sound (`scenes`): the ten half-minute excerpts of AMI meetings of the
`vad` pack with its own segments, and scenes of clips of RAVDESS, EmoDB and URDU between silences
and made-up sounds that are no speech, whose segments are where the undisturbed clip is loud. Both
under noise, from afar, through telephones and at all levels. All weights are from train splits.

What a frame is said to be is defined by `net`, in NumPy; the C++ is compared with it by a test.
RAVDESS is non-commercial, EmoDB and URDU are for research: 4,801 numbers that tell sound from
speech hold nothing of any recording, but who wants them from permissive data alone trains with
``--packs vad``.
"""
