"""Fine-tuning recipes of the embedded models: ``python -m affectrt.export.recipes.<name>``."""
