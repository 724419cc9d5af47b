"""The noise process of a base model that predicts noise or v: its own files and the settings together."""

from collections.abc import Iterator, Mapping
from typing import Any

from lora_widgets.config.noise import NoiseAndLoss
from lora_widgets.diffusion.ddpm import DiscreteProcess, linear_betas, scaled_linear_betas, zero_terminal
from lora_widgets.errors import ModelError

_SCHEDULES = {"scaled_linear": scaled_linear_betas, "linear": linear_betas}
_NUMBERS = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012}
_PREDICTIONS = ("epsilon", "v_prediction")


def noise_process(scheduler: Mapping[str, Any], settings: NoiseAndLoss) -> DiscreteProcess:
    """Return the process of a model with this scheduler config; what the config omits is Stable Diffusion's.

    `v_parameterization` makes it predict v whatever the config says; off, the config decides.

    Raises:
        ModelError: the schedule or the prediction is unknown.
    """
    schedule = scheduler.get("beta_schedule", "scaled_linear")
    own = scheduler.get("prediction_type", "epsilon")
    if schedule not in _SCHEDULES or own not in _PREDICTIONS:
        raise ModelError(
            f"The model in `pretrained_model_name_or_path` says beta_schedule {schedule!r} and "
            f"prediction_type {own!r} in scheduler/scheduler_config.json. This version trains "
            "scaled_linear or linear schedules with epsilon or v_prediction: use a model with those."
        )
    numbers = [scheduler.get(name, usual) for name, usual in _NUMBERS.items()]
    if not all(isinstance(number, int | float) and number > 0 for number in numbers):
        raise ModelError(
            "The model in `pretrained_model_name_or_path` has a damaged scheduler/scheduler_config.json: "
            f"{', '.join(_NUMBERS)} are {', '.join(map(repr, numbers))}. Download this file again."
        )
    count, start, end = numbers
    betas = _SCHEDULES[schedule](int(count), start=start, end=end)
    betas = zero_terminal(betas) if settings.zero_terminal_snr else betas
    return DiscreteProcess(betas, prediction="v_prediction" if settings.v_parameterization else own)


def notes_on_schedule(scheduler: Mapping[str, Any], settings: NoiseAndLoss) -> tuple[str, ...]:
    """Say where the settings do not agree with what the model's own scheduler config says."""
    return tuple(_notes(scheduler, settings))


def _notes(scheduler: Mapping[str, Any], settings: NoiseAndLoss) -> Iterator[str]:
    said = scheduler.get("prediction_type")
    if settings.v_parameterization and said == "epsilon":
        yield (
            "`v_parameterization` is on, but the base model's configuration says that it predicts noise. It "
            "is trained and sampled as a model that predicts v; if the first samples show nothing but noise, "
            "turn the setting off."
        )
    if settings.v_pred_like_loss > 0 and said == "v_prediction":
        yield (
            f"`v_pred_like_loss` is {settings.v_pred_like_loss:g}, but it is for noise prediction, and the "
            "base model predicts v. Set it to 0."
        )
    if scheduler.get("rescale_betas_zero_snr") and not settings.zero_terminal_snr:
        yield (
            "The base model says that it was trained with zero terminal SNR, but `zero_terminal_snr` is off. "
            "Turn it on to train the last steps of noise as they were."
        )
