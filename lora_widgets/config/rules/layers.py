"""Rules about which layers get an adapter, and of which size."""

from lora_widgets.catalog.layer_presets import LAYER_PRESETS
from lora_widgets.config.number_list import numbers_of
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule

_NUM_BLOCKS = {"SD1.5": 25, "SDXL": 23}
_BLOCK_LISTS = ("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas")


@rule(Severity.NOTE, "conv_dim", "model_type")
def no_convolutions_in_transformers(now: Situation) -> Advice | None:
    """Flux and SD3 have no convolution to adapt."""
    is_set = {"conv_dim", "conv_alpha"} & now.config.model_fields_set
    if now.has_convolutions or not is_set or not now.type_reads("conv_dim"):
        return None
    return Advice(
        f"`conv_dim` and `conv_alpha` have no effect: {now.config.model_type} has no convolutions.",
        "`network_dim` and `network_alpha` are for all of its layers.",
    )


@rule(Severity.ERROR, "block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas", "model_type")
def blocks_of_a_transformer(now: Situation) -> Advice | None:
    """The blocks that are numbered are those of a UNet."""
    lists = _block_lists(now)
    if not lists or now.has_convolutions:
        return None
    name = next(iter(lists))
    return Advice(
        f"`{name}` is set, but {now.config.model_type} has no blocks that it could number.",
        "Leave it empty.",
        change(**{name: ""}),
    )


@rule(Severity.ERROR, "block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas")
def block_list_without_numbers(now: Situation) -> Advice | None:
    """A list of blocks holds numbers."""
    for name, text in _block_lists(now).items():
        numbers = _numbers(text)
        if numbers is None or (name.endswith("dims") and any(number % 1 for number in numbers)):
            return Advice(
                f"`{name}` is {text!r}, but it must be numbers from 0 to 1024 separated by commas, whole "
                "ones for dimensions.",
                "Correct it, or leave it empty.",
                change(**{name: ""}),
            )
    return None


@rule(Severity.ERROR, "block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas", "model_type")
def length_of_block_lists(now: Situation) -> Advice | None:
    """A list of blocks has one number for each."""
    wanted = _NUM_BLOCKS.get(now.config.model_type, 0)
    for name, text in _block_lists(now).items() if wanted else ():
        numbers = _numbers(text)
        if numbers is not None and len(numbers) != wanted:
            return Advice(
                f"`{name}` has {len(numbers)} numbers, but {now.config.model_type} has {wanted} blocks.",
                f"Write {wanted} of them, or leave it empty.",
                change(**{name: ""}),
            )
    return None


@rule(Severity.WARNING, "block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas")
def lists_without_dimensions(now: Situation) -> Advice | None:
    """The other lists go with block_dims."""
    found = [name for name in _BLOCK_LISTS[1:] if getattr(now.config, name) and now.type_reads(name)]
    if now.config.block_dims or not found:
        return None
    return Advice(
        f"`{found[0]}` has no effect without `block_dims`.",
        "Set `block_dims`, or leave it empty.",
        change(**dict.fromkeys(found, "")),
    )


@rule(Severity.ERROR, "preset")
def unknown_preset(now: Situation) -> Advice | None:
    """A preset is one of ours, or a file."""
    preset = now.config.preset
    if (
        not preset
        or preset in LAYER_PRESETS
        or preset.lower().endswith(".toml")
        or not now.type_reads("preset")
    ):
        return None
    return Advice(
        f"`preset` is {preset!r}, but no set of layers is called so.",
        f"Choose {', '.join(LAYER_PRESETS)}, or the path of a LyCORIS preset file (.toml).",
        change(preset=""),
    )


@rule(Severity.WARNING, "preset", "text_encoder_lr")
def preset_without_text(now: Situation) -> Advice | None:
    """Some presets leave the text encoders out."""
    config = now.config
    if not config.trains_text_encoder or not config.preset or not now.type_reads("preset"):
        return None
    preset = LAYER_PRESETS.get(config.preset)
    if preset is None or preset.text.blocks or preset.text.names:
        return None
    return Advice(
        f"`preset` is {config.preset!r}, which leaves the text encoder out, but `text_encoder_lr` is "
        f"{config.text_encoder_lr:g}.",
        "Set `text_encoder_lr` to 0, or choose other layers.",
        change(text_encoder_lr=0.0),
        (change(preset=""),),
    )


@rule(Severity.ERROR, "dim_from_weights", "continue_from_lora")
def sizes_of_no_file(now: Situation) -> Advice | None:
    """Sizes are taken from a file."""
    if (
        not now.config.dim_from_weights
        or now.config.continue_from_lora
        or not now.type_reads("dim_from_weights")
    ):
        return None
    return Advice(
        "`dim_from_weights` is on, but `continue_from_lora` names no file to take the sizes from.",
        "Set `continue_from_lora`, or turn it off.",
        change(dim_from_weights=False),
    )


@rule(Severity.NOTE, "dim_from_weights")
def sizes_of_the_file(now: Situation) -> Advice | None:
    """The file's sizes replace those of the form."""
    if not (
        now.config.dim_from_weights and now.config.continue_from_lora and now.type_reads("dim_from_weights")
    ):
        return None
    return Advice(
        "`dim_from_weights` is on: layers, ranks and alphas come from the file of `continue_from_lora`, so "
        "`network_dim`, `network_alpha`, `conv_dim` and `conv_alpha` have no effect.",
    )


def _numbers(text: str) -> tuple[float, ...] | None:
    try:
        numbers = numbers_of(text)
    except ValueError:
        return None
    return numbers if all(0 <= number <= 1024 for number in numbers) else None


def _block_lists(now: Situation) -> dict[str, str]:
    """Return the lists that are set and that the chosen type reads."""
    lists = {name: str(getattr(now.config, name)) for name in _BLOCK_LISTS if now.type_reads(name)}
    return {name: text for name, text in lists.items() if text}
