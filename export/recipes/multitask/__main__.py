"""``python -m affectrt.export.recipes.multitask``."""

import sys

from .cli import main

sys.exit(main())
