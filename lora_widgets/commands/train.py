"""``lora-widgets train CONFIG``: train from a configuration file."""

import argparse
from typing import TextIO

from lora_widgets.commands.reading import read_values
from lora_widgets.commands.running import run_to_end
from lora_widgets.config.findings import config_from


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Train with progress on ``out``; return 0."""
    run_to_end(config_from(read_values(options.config, options.changes)), out)
    return 0
