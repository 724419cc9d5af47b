"""``python -m lora_widgets`` is the ``lora-widgets`` command."""

import sys

from lora_widgets.cli import main

if __name__ == "__main__":
    sys.exit(main())
