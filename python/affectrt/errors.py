"""The one exception tree of affectrt: whatever goes wrong on purpose is an `Error`."""


class Error(Exception):
    """Base class. The message says what was wrong, where, and what would be right."""


class NotFoundError(Error, FileNotFoundError):
    """A file, model or name that does not exist."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ModelFileError(Error):
    """A model file that is damaged, hostile or contradicts itself."""


class TokenizerError(Error):
    """A tokenizer.json that is damaged or asks for something affectrt does not do."""


class InputError(Error, ValueError):
    """An argument or a text that cannot be used."""


class BackendError(Error):
    """The inference backend is missing or failed."""


class UnsupportedError(Error):
    """Valid, but not done by this build."""


class ExportError(Error):
    """A checkpoint that cannot be exported, or a product that failed its proof."""


class ProofError(Error):
    """A model file whose parity report or signature is not the proof that was asked for."""
