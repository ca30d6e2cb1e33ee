"""``python -m affectrt.export.recipes.speech``."""

import sys

from .cli import main

sys.exit(main())
