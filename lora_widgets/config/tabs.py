"""The seven tabs under which the settings are shown."""

from enum import Enum


class Tab(Enum):
    """A tab; its value is the title."""

    SETUP = "Setup"
    DATASET = "Dataset"
    LORA = "LoRA"
    LEARNING_RATE = "Learning Rate"
    ADVANCED = "Advanced"
    SAVING = "Saving"
    LOGGING = "Logging"
