"""Rules about training by flow matching, which is how Flux and SD3 are trained."""

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.flow import WEIGHTING_SCHEMES
from lora_widgets.config.fields import fields_by_name
from lora_widgets.config.flow_use import sampling_reads, scheme_acts, scheme_reads
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule
from lora_widgets.config.training_config import TrainingConfig

_LARGE_BATCH = 2


@rule(Severity.WARNING, "model_prediction_type")
def answer_that_is_no_velocity(now: Situation) -> Advice | None:
    """What is made of the answer is compared with the velocity all the same."""
    kind = now.config.model_prediction_type
    if now.config.model_type != "Flux" or kind == "raw":
        return None
    return Advice(
        f"`model_prediction_type` is {kind}, so something else is compared with the velocity that Flux "
        "predicts: the model unlearns what it knows.",
        "Set it to raw.",
        change(model_prediction_type="raw"),
    )


@rule(Severity.NOTE, "discrete_flow_shift", "timestep_sampling")
def shift_unused(now: Situation) -> Advice | None:
    """Some samplings are not shifted, and one follows the size of the picture."""
    config = now.config
    if not _is_changed_for_flux(now, "discrete_flow_shift") or sampling_reads(config, "discrete_flow_shift"):
        return None
    return Advice(
        f"`discrete_flow_shift` has no effect: `timestep_sampling` is {config.timestep_sampling}.",
        "Set `timestep_sampling` to shift to use it.",
        change(timestep_sampling="shift"),
    )


@rule(Severity.NOTE, "sigmoid_scale", "timestep_sampling")
def sigmoid_scale_unused(now: Situation) -> Advice | None:
    """It is the spread of three of the samplings."""
    config = now.config
    if not _is_changed_for_flux(now, "sigmoid_scale") or sampling_reads(config, "sigmoid_scale"):
        return None
    return Advice(
        f"`sigmoid_scale` has no effect: `timestep_sampling` is {config.timestep_sampling}.",
        "Set `timestep_sampling` to sigmoid, shift or flux_shift to use it.",
        change(sigmoid_scale=1.0),
    )


@rule(Severity.NOTE, "weighting_scheme", "timestep_sampling", "model_prediction_type")
def scheme_unused(now: Situation) -> Advice | None:
    """Two schemes decide how often sigma comes, two how much it weighs, and Flux uses neither as it is."""
    scheme = now.config.weighting_scheme
    if now.config.model_type != "Flux" or scheme == "uniform" or scheme_acts(now.config):
        return None
    draws = not WEIGHTING_SCHEMES[scheme].weighs
    needed = "`timestep_sampling` sigma" if draws else "`model_prediction_type` sigma_scaled"
    return Advice(
        f"`weighting_scheme` is {scheme}, but for Flux it acts only with {needed}.",
        "Set it to uniform." if not draws else "Set it to uniform, or `timestep_sampling` to sigma.",
        change(weighting_scheme="uniform"),
        (change(timestep_sampling="sigma"),) if draws else (),
    )


@rule(Severity.NOTE, "logit_mean", "logit_std", "mode_scale", "weighting_scheme", "timestep_sampling")
def numbers_of_another_scheme(now: Situation) -> Advice | None:
    """Each number belongs to one scheme, and Flux draws by a scheme with one sampling only."""
    config, draws = now.config, sampling_reads(now.config, "weighting_scheme")
    schemes = {"logit_mean": "logit_normal", "logit_std": "logit_normal", "mode_scale": "mode"}
    unused = [name for name in schemes if now.is_changed(name) if not (draws and scheme_reads(config, name))]
    if not now.is_flow or not unused:
        return None
    reasons = [f"`weighting_scheme` is {config.weighting_scheme}"] * (not scheme_reads(config, unused[0]))
    needed = [f"`weighting_scheme` to {schemes[unused[0]]}"] * bool(reasons)
    if not draws:
        reasons.append(f"`timestep_sampling` is {config.timestep_sampling}")
        needed.append("`timestep_sampling` to sigma")
    defaults = fields_by_name(TrainingConfig)
    return Advice(
        f"{' and '.join(f'`{name}`' for name in unused)} {'have' if len(unused) > 1 else 'has'} no effect: "
        f"{' and '.join(reasons)}.",
        f"Set {' and '.join(needed)} to use {'them' if len(unused) > 1 else 'it'}.",
        change(**{name: defaults[name].default for name in unused}),
    )


@rule(Severity.WARNING, "mixed_precision", "model_type")
def fp16_of_flow_models(now: Situation) -> Advice | None:
    """T5 and the large transformers were trained in bf16 and leave the range of fp16."""
    if not now.is_flow or now.config.mixed_precision != "fp16":
        return None
    return Advice(
        f"`mixed_precision` is fp16, but {now.config.model_type} and T5 have values beyond its range.",
        "Set it to bf16.",
        change(mixed_precision="bf16"),
    )


@rule(Severity.WARNING, "train_batch_size", "model_type")
def large_batch_of_flux(now: Situation) -> Advice | None:
    """Flux has 12 billion parameters."""
    if now.config.model_type != "Flux" or now.config.train_batch_size <= _LARGE_BATCH:
        return None
    return Advice(
        f"`train_batch_size` is {now.config.train_batch_size}: Flux with more than {_LARGE_BATCH} pictures "
        "at once may run out of memory.",
        "Set it to 1, and `gradient_accumulation_steps` higher for a steadier gradient.",
        change(train_batch_size=1),
    )


@rule(Severity.ERROR, "resolution", "enable_bucket", "model_type")
def sides_without_patches(now: Situation) -> Advice | None:
    """The transformer reads patches of 2 by 2 latents; buckets see to it, and without them nothing does."""
    config, multiple = now.config, FAMILIES[now.config.model_type].samples.side_multiple
    sides = config.resolution_size
    if config.enable_bucket or not now.is_flow or all(side % multiple == 0 for side in sides):
        return None
    fitted = [max(64, side - side % multiple) for side in sides]
    value = str(fitted[0]) if len(set(fitted)) == 1 else ",".join(map(str, fitted))
    return Advice(
        f"`resolution` is {config.resolution} and `enable_bucket` is off, but {config.model_type} needs "
        f"sides that are multiples of {multiple}.",
        f"Set `resolution` to {value}, or turn buckets on.",
        change(resolution=value),
        (change(enable_bucket=True),),
    )


@rule(Severity.ERROR, "resolution", "max_bucket_reso", "pretrained_model_name_or_path")
def sides_beyond_the_positions(now: Situation) -> Advice | None:
    """The model has no place for what lies further out."""
    config, largest, dataset = now.config, now.facts.largest_side, now.facts.dataset
    if largest is None or not now.is_flow:
        return None
    sizes = dataset.bucket_sizes if dataset else () if config.enable_bucket else (config.resolution_size,)
    width, height = max(sizes, key=max, default=(0, 0))
    if max(width, height) <= largest:
        return None
    return Advice(
        f"Pictures would be trained at {width} x {height} pixels, but the base model knows positions for "
        f"sides of up to {largest} only.",
        f"Lower `resolution`, or keep sides to {largest}: with `enable_bucket` by `max_bucket_reso`, which "
        "acts while `bucket_no_upscale` is off.",
    )


def _is_changed_for_flux(now: Situation, setting: str) -> bool:
    return now.config.model_type == "Flux" and now.is_changed(setting)
