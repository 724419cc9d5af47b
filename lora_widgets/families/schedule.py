"""The noise a Stable Diffusion model was trained with, as its scheduler's configuration says."""

from typing import Any

from lora_widgets.diffusion.ddpm import DiscreteProcess, linear_betas, scaled_linear_betas, zero_terminal
from lora_widgets.errors import ModelError


def process_of(scheduler: dict[str, Any], *, zero_snr: bool) -> DiscreteProcess:
    """Return the noise process of a model; what its scheduler's configuration omits is SD1.5's and SDXL's.

    Raises:
        ModelError: the model was trained with noise or a prediction of another kind.
    """
    schedules = {"scaled_linear": scaled_linear_betas, "linear": linear_betas}
    schedule, prediction = (
        scheduler.get("beta_schedule", "scaled_linear"),
        scheduler.get("prediction_type", "epsilon"),
    )
    if schedule not in schedules or prediction not in ("epsilon", "v_prediction"):
        raise ModelError(
            f"The model in `pretrained_model_name_or_path` says beta_schedule {schedule!r} and "
            f"prediction_type {prediction!r} in scheduler/scheduler_config.json. This version trains "
            "scaled_linear or linear schedules with epsilon or v_prediction: use a model with those."
        )
    betas = schedules[schedule](
        scheduler.get("num_train_timesteps", 1000),
        start=scheduler.get("beta_start", 0.00085),
        end=scheduler.get("beta_end", 0.012),
    )
    return DiscreteProcess(zero_terminal(betas) if zero_snr else betas, prediction=prediction)
