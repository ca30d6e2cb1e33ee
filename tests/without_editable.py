"""Importing this lets PYTHONPATH come before an editable install; also a folder's sitecustomize."""

import sys

sys.meta_path[:] = [f for f in sys.meta_path if "Redirecting" not in type(f).__name__]
