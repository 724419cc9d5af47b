"""Rules about the files of the base model; what is in them is known from their headers."""

from lora_widgets.catalog.weight_files import FILE_KINDS
from lora_widgets.config.misplaced import BASE_MODEL, Misplaced, misplaced
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule
from lora_widgets.config.weight_headers import is_weight_file


@rule(Severity.ERROR, "pretrained_model_name_or_path", "model_type")
def wrong_base_model(now: Situation) -> Advice | None:
    """The file must be a whole model, and of the family that is trained."""
    wrong = _wrong(now, BASE_MODEL)
    if wrong is None:
        return None
    fix = change(model_type=wrong.model_type) if wrong.model_type else None
    return Advice(wrong.message, wrong.remedy, fix)


@rule(Severity.ERROR, "pretrained_model_name_or_path", "vae_path", "clip_l_path", "t5xxl_path")
def parts_missing_from_file(now: Situation) -> Advice | None:
    """Many single files hold the denoiser alone, which needs the other parts beside it."""
    config, sizes = now.config, now.facts.base_model
    kind = FILE_KINDS.get(now.facts.files.get(BASE_MODEL, ""))
    if sizes is None or kind is None or config.model_type not in kind.families:
        return None
    has_clip = sizes.text_encoder.numbers > sizes.text_encoder.t5
    needed = [("a VAE", "vae_path", sizes.vae.numbers > 0)]
    if now.is_flow:
        needed.append(("CLIP-L", "clip_l_path", has_clip))
    if config.model_type == "Flux":  # SD3 works without T5, too
        needed.append(("T5-XXL", "t5xxl_path", sizes.text_encoder.t5 > 0))
    missing = [
        (words, name) for words, name, is_there in needed if not is_there and not getattr(config, name)
    ]
    is_bare = not now.is_flow and not has_clip
    if not missing and not is_bare:
        return None
    words = [words for words, _ in missing] + ["a text encoder"] * is_bare
    settings = " and ".join(f"`{name}`" for _, name in missing)
    file = "a file with it" if len(missing) == 1 else "files with them"
    remedy = f"Use a complete {config.model_type} model." if is_bare else f"Set {settings} to {file}."
    return Advice(
        f"`{BASE_MODEL}` is {config.pretrained_model_name_or_path!r}, a file without {' and '.join(words)}.",
        remedy,
    )


@rule(Severity.ERROR, "vae_path", "model_type")
def wrong_vae(now: Situation) -> Advice | None:
    """The file must be a VAE, and of the size the family works with."""
    wrong = _wrong(now, "vae_path")
    if wrong is None:
        return None
    remedy = f"{wrong.remedy.removesuffix('.')}, or leave it empty for the base model's own VAE."
    return Advice(wrong.message, remedy, change(vae_path=None))


@rule(Severity.ERROR, "clip_l_path", "clip_g_path", "t5xxl_path")
def wrong_text_encoder(now: Situation) -> Advice | None:
    """Text encoders are easily exchanged for each other."""
    if now.config.model_type not in ("Flux", "SD3"):
        return None
    found = (_wrong(now, setting) for setting in ("clip_l_path", "clip_g_path", "t5xxl_path"))
    wrong = next((one for one in found if one), None)
    return None if wrong is None else Advice(wrong.message, wrong.remedy)


@rule(Severity.ERROR, "continue_from_lora")
def wrong_start_lora(now: Situation) -> Advice | None:
    """A training can only begin from what was trained before."""
    wrong = _wrong(now, "continue_from_lora")
    return None if wrong is None else Advice(wrong.message, wrong.remedy, change(continue_from_lora=None))


@rule(Severity.NOTE, "model_config_path", "pretrained_model_name_or_path")
def config_beside_a_folder(now: Situation) -> Advice | None:
    """A folder in diffusers layout brings its own configuration."""
    config = now.config
    if not config.model_config_path or is_weight_file(config.pretrained_model_name_or_path):
        return None
    return Advice(
        "`model_config_path` has no effect: the base model is no single file, and a folder or hub id brings "
        "its own configuration.",
        "Leave it empty.",
        change(model_config_path=None),
    )


def _wrong(now: Situation, setting: str) -> Misplaced | None:
    kind = now.facts.files.get(setting)
    value = getattr(now.config, setting)
    if kind is None or not value:
        return None
    return misplaced(setting, value, FILE_KINDS[kind], model_type=now.config.model_type)
