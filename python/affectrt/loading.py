"""From a name or a path to a `Model` or a `SpeechModel`."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from . import _core, cuda_libraries
from .errors import InputError, NotFoundError, ProofError
from .model import Model
from .proof import PublicKey, check_proof, check_requirement, check_rows, check_signature

if TYPE_CHECKING:
    from .speech import SpeechModel

DEFAULT_MODEL = "text"
MODEL_PATH_VARIABLE = "AFFECTRT_MODEL_PATH"
ONNXRUNTIME_VARIABLE = "AFFECTRT_ONNXRUNTIME"

_BACKENDS = ("auto", "native", "onnxruntime")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    backend: str = "auto"
    num_threads: int | None = None
    providers: tuple[str, ...] = ()
    max_batch_tokens: int | None = None
    require_parity: bool | Mapping[str, Any] = False
    public_key: PublicKey | None = None


def _model_folders() -> Iterator[Path]:
    for folder in os.environ.get(MODEL_PATH_VARIABLE, "").split(os.pathsep):
        if folder:
            yield Path(folder)
    yield Path(__file__).parent / "models"


def available_models() -> dict[str, Path]:
    """The models that `load` finds by name: those in the package and on AFFECTRT_MODEL_PATH.

    AFFECTRT_MODEL_PATH is a list of folders, separated as in PATH; `NAME.affect` in one of them
    is known as NAME, and comes before a model of the package with the same name.
    """
    found: dict[str, Path] = {}
    for folder in _model_folders():
        try:
            files = sorted(folder.glob("*.affect"))
        except OSError:  # a folder that cannot be read offers nothing
            continue
        for file in files:
            found.setdefault(file.stem, file)
    return dict(sorted(found.items()))


def resolve_model(name_or_path: str | os.PathLike[str] | None) -> Path:
    """The file or directory meant by the first argument of `load`; `NotFoundError` if none."""
    if name_or_path is None:
        name_or_path = DEFAULT_MODEL
    if not isinstance(name_or_path, str | os.PathLike):
        raise InputError(
            f"name_or_path is {type(name_or_path).__name__}; give the name of a model or a path"
        )
    given = os.fspath(name_or_path)
    if not isinstance(given, str):
        raise InputError("name_or_path is a path of bytes; give str or pathlib.Path")
    if not given:
        raise InputError("name_or_path is empty; give the name of a model or a path")
    if "\0" in given:
        raise InputError(f"name_or_path {given!r} holds a NUL character, which no path can")
    models = available_models()
    if isinstance(name_or_path, str) and given in models:
        return models[given]
    path = Path(given)
    if os.path.exists(path):
        return path
    names = ", ".join(models) or "none"
    looks_like_path = isinstance(name_or_path, os.PathLike) or any(c in given for c in "/\\.")
    what = "file or directory" if looks_like_path else "model or file"
    raise NotFoundError(f"no {what} {given!r}; models known by name: {names}")


def find_onnxruntime() -> str:
    """Path of the ONNX Runtime library, "" when there is none.

    AFFECTRT_ONNXRUNTIME names it; otherwise the installed `onnxruntime` wheel has it. The Python
    package of that name is not imported.
    """
    given = os.environ.get(ONNXRUNTIME_VARIABLE)
    if given:
        if not os.path.isfile(given):
            raise NotFoundError(
                f"{ONNXRUNTIME_VARIABLE} names {given!r}, which is not a file; "
                "give the path of the ONNX Runtime shared library"
            )
        return given
    try:
        spec = importlib.util.find_spec("onnxruntime")
    except (ImportError, ValueError):
        return ""
    for folder in (spec and spec.submodule_search_locations) or ():
        capi = Path(folder) / "capi"
        for pattern in ("libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll"):
            found = sorted(capi.glob(pattern))
            if found:
                return str(found[0])
    return ""


def _positive(value: int | None, argument: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{argument} is {type(value).__name__}; give a positive int, or None")
    if not 0 < value <= 2**31 - 1:
        raise InputError(f"{argument} is {value}; give a positive int below 2^31, or None")
    return value


def _options(
    backend: str,
    num_threads: int | None,
    providers: Sequence[str] | None,
    max_batch_tokens: int | None,
) -> LoadOptions:
    if backend not in _BACKENDS:
        raise InputError(f"backend is {backend!r}; give one of: {', '.join(_BACKENDS)}")
    if isinstance(providers, str):
        raise InputError(f"providers is a str; give a list of names, as in [{providers!r}]")
    names = tuple(providers or ())
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise InputError(
                f"providers[{index}] is {type(name).__name__}; "
                'give the name of an execution provider, as in "CUDAExecutionProvider"'
            )
    return LoadOptions(
        backend,
        _positive(num_threads, "num_threads"),
        names,
        _positive(max_batch_tokens, "max_batch_tokens"),
    )


def load_path(path: str, options: LoadOptions) -> Model | SpeechModel:
    """The model at exactly `path`; what `load` does once it knows where the model is."""
    cuda_libraries.load_for(options.providers)
    core = _core.load(
        path,
        backend=options.backend,
        num_threads=options.num_threads or 0,
        providers=list(options.providers),
        max_batch_tokens=options.max_batch_tokens or 0,
        onnxruntime_library=find_onnxruntime(),
    )
    # An empty dict of bars asks for a report as True does.
    if options.require_parity is not False or options.public_key is not None:
        _check_proof(core, options)
    if isinstance(core, _core.Model):
        return Model(core, options)
    from .speech import SpeechModel

    return SpeechModel(core, options)


def _check_proof(core: _core.Model | _core.SpeechModel, options: LoadOptions) -> None:
    if not core.raw_manifest:
        raise ProofError(f"{core.path}: is a plain export without affectrt.json, and so without "
                         "proof; `affectrt export` makes a model file of it")  # fmt: skip
    _core.verify_bundle(core.path)  # the report is about bytes that have these hashes
    manifest = json.loads(core.raw_manifest)
    check_rows(core.path, manifest)
    if options.public_key is not None:
        check_signature(core.path, manifest, options.public_key)
    if options.require_parity is not False:
        check_proof(core.path, manifest, core.backend_name, options.require_parity)


@overload
def load(
    name_or_path: Literal["speech", "speech-micro"],
    *,
    backend: str = ...,
    num_threads: int | None = ...,
    providers: Sequence[str] | None = ...,
    max_batch_tokens: int | None = ...,
    require_parity: bool | Mapping[str, Any] = ...,
    public_key: PublicKey | None = ...,
) -> SpeechModel: ...
@overload
def load(
    name_or_path: Literal["text"] | None = ...,
    *,
    backend: str = ...,
    num_threads: int | None = ...,
    providers: Sequence[str] | None = ...,
    max_batch_tokens: int | None = ...,
    require_parity: bool | Mapping[str, Any] = ...,
    public_key: PublicKey | None = ...,
) -> Model: ...
@overload
def load(
    name_or_path: str | os.PathLike[str],
    *,
    backend: str = ...,
    num_threads: int | None = ...,
    providers: Sequence[str] | None = ...,
    max_batch_tokens: int | None = ...,
    require_parity: bool | Mapping[str, Any] = ...,
    public_key: PublicKey | None = ...,
) -> Model | Any: ...
def load(
    name_or_path: str | os.PathLike[str] | None = None,
    *,
    backend: str = "auto",
    num_threads: int | None = None,
    providers: Sequence[str] | None = None,
    max_batch_tokens: int | None = None,
    require_parity: bool | Mapping[str, Any] = False,
    public_key: PublicKey | None = None,
) -> Model | Any:
    """Opens a model: a `Model` of texts or a `SpeechModel`, whichever the file is.

    `name_or_path` is the name of a known model (`available_models()`; "text", the embedded
    default, if not given), a `.affect` file, a directory with the same files, or a Hugging Face /
    optimum ONNX export directory. A name comes before a path: write `./text` for a file `text`.

    `backend` is "auto", "native" or "onnxruntime". `num_threads` bounds the threads of one call;
    by default as many as the CPU quota of this process allows. `providers` are execution
    providers of ONNX Runtime in order of preference, as in `["CUDAExecutionProvider"]`, or on
    another device than the first `["CUDAExecutionProvider:1"]`; one that comes in a library of its
    own (a plug-in) as `"Name=/path/to/the/library"`.
    `max_batch_tokens` bounds the tokens (padding included) of one batch of texts, and with it the
    memory.

    `require_parity` refuses a file without proof that it answers as its checkpoint does. True: its
    parity report covers every head on the backend in use, kept the bars of the export, and is about
    these very bytes (all hashes are checked, which reads the whole file). A dict adds bars to that,
    for every head: `max_flips` and `max_flipped_rows` (shares, 0 to 1), `max_logit_difference`,
    `max_loss` (of any task metric) and `max_calibration_loss` (of the calibration error), which
    need rows with targets, `min_cosine`, `min_correlation`, `min_rows`, `min_rows_with_target`, and
    `data_sha256` of the rows. `public_key`, an Ed25519 key in PEM or its path, refuses a file that
    was not signed with the private key of it (needs `pip install "affectrt[signing]"`).

    Raises `NotFoundError` when there is no such model, `ProofError` when it has not the proof or
    signature asked for, `ModelFileError` when it is damaged,
    `TokenizerError` or `UnsupportedError` when it asks for what this build does not do,
    `BackendError` when the backend cannot be had, `InputError` for a wrong argument.
    """
    check_requirement(require_parity)
    options = replace(
        _options(backend, num_threads, providers, max_batch_tokens),
        require_parity=require_parity,
        public_key=public_key,
    )
    return load_path(str(resolve_model(name_or_path)), options)


def load_text(name_or_path: str | os.PathLike[str] | None = None, **options: Any) -> Model:
    """As `load`, for what takes texts alone: `InputError` for a speech model."""
    model = load(name_or_path, **options)
    if isinstance(model, Model):
        return model
    raise InputError(
        f'{model.info.path!r} is a speech model; a text model is needed here, as in "text"'
    )
