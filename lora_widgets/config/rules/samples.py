"""Rules about sample pictures."""

import re
from collections.abc import Iterable

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.samplers import SAMPLERS
from lora_widgets.config.names import did_you_mean
from lora_widgets.config.prompts import (
    MAX_SIDE,
    MIN_SIDE,
    WrittenPrompt,
    fitted_side,
    names_a_file,
    prompts_of,
    written_prompts,
)
from lora_widgets.config.rules.rule import Advice, Fix, Severity, Situation, change, rule

_WEIGHTED = re.compile(r"\([^()\n]{1,40}:\s*[\d.]+\s*\)")
_LARGE = 4
"""So many times the pixels that a family was trained at are rarely meant."""


@rule(Severity.ERROR, "sample_prompts", "sample_every_n_epochs", "sample_every_n_steps")
def no_prompts(now: Situation) -> Advice | None:
    """Samples need prompts."""
    file = now.facts.prompt_file
    if not now.config.sample_every.is_on or _prompts(now):
        return None
    if file is not None and not file.error:
        return Advice(
            "Samples are to be drawn, but the file in `sample_prompts` holds no prompt.",
            "Write at least one, a line each; lines that begin with # do not count.",
            _no_samples(),
        )
    if file is not None or names_a_file(now.config.sample_prompts):
        return None
    return Advice(
        "Samples are to be drawn, but `sample_prompts` is empty.",
        "Write at least one prompt, or set `sample_every_n_epochs` and `sample_every_n_steps` to 0.",
        _no_samples(),
    )


@rule(Severity.NOTE, "sample_prompts", "sample_every_n_epochs", "sample_every_n_steps")
def prompts_unused(now: Situation) -> Advice | None:
    """Prompts without a cadence are not drawn during the training."""
    if now.config.sample_every.is_on or not now.config.sample_prompts:
        return None
    return Advice(
        "`sample_prompts` is set, but no samples are drawn while training.",
        "Set `sample_every_n_epochs` to 1.",
        change(sample_every_n_epochs=1),
    )


@rule(Severity.ERROR, "sample_prompts")
def prompt_file_unreadable(now: Situation) -> Advice | None:
    """A file of prompts must be there, and what is in it must be understood."""
    file = now.facts.prompt_file
    if file is None or not file.error or not now.config.sample_every.is_on:
        return None
    return Advice(file.error, "Correct the file, or draw no samples.", _no_samples())


@rule(Severity.ERROR, "sample_prompts")
def unknown_sampler_in_prompt(now: Situation) -> Advice | None:
    """A prompt can name its own sampler, which must be one of the list."""
    for prompt in _prompts(now):
        name = str(prompt.says.get("sampler", ""))
        if name and name not in SAMPLERS:
            remedy = did_you_mean(name, SAMPLERS).strip() or f"Choose one of: {', '.join(SAMPLERS)}."
            return Advice(f"`sample_prompts`, {prompt.place}: the sampler {name[:80]!r} is unknown.", remedy)
    return None


@rule(Severity.WARNING, "sample_prompts")
def prompt_options_without_effect(now: Situation) -> Advice | None:
    """Options that are unknown, or have a value that cannot be, are left out."""
    found = [f"{prompt.place}: {text}" for prompt in _prompts(now) for text in prompt.ignored]
    if not found:
        return None
    return Advice(
        f"`sample_prompts` has options without effect ({_some(found)}).",
        "There are --n, --w, --h, --d, --l, --g, --s and --ss, each followed by a blank and its value; in a "
        "table they are keys of their own, such as width.",
    )


@rule(Severity.ERROR, "sample_prompts")
def sample_too_large(now: Situation) -> Advice | None:
    """Nobody draws pictures of such sides; a digit too many is likely."""
    for written in _prompts(now):
        largest = max(_sides(written), default=0)
        if largest > MAX_SIDE:
            return Advice(
                f"`sample_prompts`, {written.place}: a side of {largest} pixels is more than {MAX_SIDE}.",
                "Make it smaller.",
            )
    return None


@rule(Severity.ERROR, "sample_prompts", "pretrained_model_name_or_path")
def sample_beyond_the_positions(now: Situation) -> Advice | None:
    """The model has no place for what lies further out."""
    largest, prompts = now.facts.largest_side, _prompts(now)
    if largest is None or not now.is_flow:
        return None
    for written, prompt in zip(prompts, prompts_of(prompts, now.config), strict=True):
        if max(prompt.width, prompt.height) > largest:
            return Advice(
                f"`sample_prompts`, {written.place}: {prompt.width} x {prompt.height} pixels, but the base "
                f"model knows positions for sides of up to {largest} only.",
                f"Draw it with sides of at most {largest}, with --w and --h.",
            )
    return None


@rule(Severity.WARNING, "sample_prompts", "model_type")
def sample_large(now: Situation) -> Advice | None:
    """A picture of many times the size the family knows takes long, and shows things twice."""
    native = FAMILIES[now.config.model_type].native_size_px
    prompts = _prompts(now)
    for written, prompt in zip(prompts, prompts_of(prompts, now.config), strict=True):
        is_large = prompt.width * prompt.height > _LARGE * native * native
        if is_large and _sides(written) and max(prompt.width, prompt.height) <= MAX_SIDE:
            return Advice(
                f"`sample_prompts`, {written.place}: {prompt.width} x {prompt.height} pixels are many more "
                f"than the {native} x {native} that {now.config.model_type} was trained at. It takes long "
                "and much memory, and shows things twice.",
                "Draw it smaller.",
            )
    return None


@rule(Severity.NOTE, "sample_prompts", "model_type")
def sample_sides_rounded(now: Situation) -> Advice | None:
    """Latents allow only some sides."""
    multiple = FAMILIES[now.config.model_type].samples.side_multiple
    found = [
        f"{prompt.place}: {side} becomes {fitted_side(side, multiple)}"
        for prompt in _prompts(now)
        for side in _sides(prompt)
        if fitted_side(side, multiple) != side
    ]
    if not found:
        return None
    return Advice(
        f"Sides of samples are multiples of {multiple}, at least {MIN_SIDE}: others are changed "
        f"({_some(found)})."
    )


@rule(Severity.NOTE, "sample_prompts", "model_type")
def embedded_guidance_without_effect(now: Situation) -> Advice | None:
    """Only Flux has guidance among its inputs."""
    config = now.config
    if FAMILIES[config.model_type].samples.guidance is not None:
        return None
    places = [prompt.place for prompt in _prompts(now) if "guidance" in prompt.says]
    if not places:
        return None
    return Advice(
        f"`sample_prompts` sets the guidance that is embedded in Flux with --g ({_some(places)}); it does "
        f"nothing in {config.model_type}.",
        "Use --l for the guidance by the negative prompt.",
    )


@rule(Severity.NOTE, "sample_prompts", "model_type")
def sampler_without_effect(now: Situation) -> Advice | None:
    """Flow matching has a sampler of its own."""
    if not now.is_flow:
        return None
    places = [prompt.place for prompt in _prompts(now) if "sampler" in prompt.says]
    if not places:
        return None
    return Advice(
        f"`sample_prompts` chooses a sampler with --ss ({_some(places)}); it does nothing in "
        f"{now.config.model_type}, which is always drawn with the sampler of flow matching."
    )


@rule(Severity.NOTE, "sample_prompts", "model_type")
def negative_prompt_without_effect(now: Situation) -> Advice | None:
    """Without guidance, the negative prompt is not read."""
    prompts = _prompts(now)
    places = [
        written.place
        for written, prompt in zip(prompts, prompts_of(prompts, now.config), strict=True)
        if prompt.negative and not prompt.is_guided
    ]
    if not places:
        return None
    return Advice(
        f"A negative prompt does nothing at guidance 1 or less (`sample_prompts`, {_some(places)}).",
        "Set the guidance above 1 with --l.",
    )


@rule(Severity.NOTE, "sample_prompts", "weighted_captions", "model_type")
def weights_in_prompts_are_words(now: Situation) -> Advice | None:
    """Prompts are read as captions are, so that the pictures show what is learned."""
    if now.config.weighted_captions:
        return None
    found = [
        f"{prompt.place}: {match[0]}"
        for prompt in _prompts(now)
        for name in ("text", "negative")
        if (match := _WEIGHTED.search(str(prompt.says.get(name, ""))))
    ]
    if not found:
        return None
    what = f"`sample_prompts` gives words a weight ({_some(found)}), which is read as text"
    if now.is_flow:
        return Advice(f"{what}: {now.config.model_type} knows no weights.", "Leave the brackets out.")
    return Advice(
        f"{what}, as it is in captions.",
        "Turn `weighted_captions` on to read it as a weight in both, or leave the brackets out.",
    )


@rule(Severity.NOTE, "sample_every_n_epochs", "sample_every_n_steps")
def samples_never_come(now: Situation) -> Advice | None:
    """The first samples would come after the end."""
    every = now.config.sample_every
    if now.steps is None or not every.is_on:
        return None
    if 0 < every.epochs <= now.steps.epochs or 0 < every.steps <= now.steps.total_steps:
        return None
    return Advice(
        f"The training ends before samples are drawn: it has {now.steps.epochs} epochs and "
        f"{now.steps.total_steps} steps.",
        "Draw them more often.",
    )


@rule(Severity.ERROR, "sample_sampler", "sample_prompts")
def sampler_package(now: Situation) -> Advice | None:
    """One sampler needs a package of its own."""
    own = now.config.sample_sampler
    if now.is_flow:
        return None
    for prompt in _prompts(now):
        name = str(prompt.says.get("sampler", own))
        package = SAMPLERS[name].package if name in SAMPLERS else ""
        if package in now.facts.missing_packages and package:
            is_own = "sampler" not in prompt.says
            where = "`sample_sampler` is" if is_own else f"`sample_prompts`, {prompt.place}: the sampler is"
            return Advice(
                f"{where} {name}, which needs the package {package}, and that is not installed.",
                f"Run: pip install {package} - or choose euler_a.",
                change(sample_sampler="euler_a") if is_own else None,
            )
    return None


def _prompts(now: Situation) -> tuple[WrittenPrompt, ...]:
    """Return the prompts that will be drawn, as far as they can be known."""
    if not now.config.sample_every.is_on:
        return ()
    return written_prompts(now.config.sample_prompts, now.facts.prompt_file)


def _sides(prompt: WrittenPrompt) -> list[int]:
    """Return the sides that a prompt gives itself."""
    return [int(prompt.says[name]) for name in ("width", "height") if name in prompt.says]


def _some(found: Iterable[str]) -> str:
    """Name the first few."""
    first, *rest = found
    return f"{first}, and {len(rest)} more" if rest else first


def _no_samples() -> Fix:
    return change(sample_every_n_epochs=0, sample_every_n_steps=0)
