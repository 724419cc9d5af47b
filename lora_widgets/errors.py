"""The errors a user can cause, in words that say what to do."""


class LoraWidgetsError(Exception):
    """A setting or file cannot work; the text names it, says why, and ends with the remedy."""


class ConfigError(LoraWidgetsError):
    """A configuration is invalid, or a configuration file cannot be read."""


class DatasetError(LoraWidgetsError):
    """The training pictures cannot be found or used."""


class ModelError(LoraWidgetsError):
    """The base model, or a part of it, cannot be used."""


class StateError(LoraWidgetsError):
    """A state or LoRA file cannot be continued from."""


class TrainingError(LoraWidgetsError):
    """Training cannot go on, for example because the loss is not finite."""


class CacheError(LoraWidgetsError):
    """What is cached on disk cannot be written, or was changed while it was in use."""
