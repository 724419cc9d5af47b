"""The model families: what a base model of each kind looks like, and which class trains it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FamilyRow:
    """One model family.

    ``import_path`` is "module:class", empty while the family is not active. ``bucket_multiple`` is the number
    of pixels by which bucket sides must be divisible, ``native_size_px`` the side the family was trained at,
    ``numbers_per_caption`` how many numbers the denoiser reads of a short caption.
    """

    name: str
    summary: str
    latent_channels: int
    bucket_multiple: int
    native_size_px: int
    numbers_per_caption: int
    predicts: str
    import_path: str = ""
    active: bool = False
    aliases: tuple[str, ...] = ()


_ROWS = (
    FamilyRow(
        name="SD1.5",
        summary="Stable Diffusion 1.x: one CLIP text encoder, 512 px.",
        latent_channels=4,
        bucket_multiple=64,
        native_size_px=512,
        numbers_per_caption=77 * 768,
        predicts="noise",
        import_path="lora_widgets.families.sd15:SD15",
        active=True,
        aliases=("sd15", "SD1"),
    ),
    FamilyRow(
        name="SDXL",
        summary="Stable Diffusion XL: two CLIP text encoders, 1024 px.",
        latent_channels=4,
        bucket_multiple=32,
        native_size_px=1024,
        numbers_per_caption=77 * (768 + 1280) + 1280,
        predicts="noise",
        import_path="lora_widgets.families.sdxl:SDXL",
        active=True,
    ),
    FamilyRow(
        name="Flux",
        summary="Flux: rectified-flow transformer with CLIP and T5.",
        latent_channels=16,
        bucket_multiple=16,
        native_size_px=1024,
        numbers_per_caption=512 * 4096 + 768,
        predicts="velocity",
        import_path="lora_widgets.families.flux:Flux",
        active=True,
        aliases=("Flux.1",),
    ),
    FamilyRow(
        name="SD3",
        summary="Stable Diffusion 3 and 3.5: rectified-flow transformer with two CLIPs and T5.",
        latent_channels=16,
        bucket_multiple=32,
        native_size_px=1024,
        numbers_per_caption=(77 + 256) * 4096 + 2048,
        predicts="velocity",
        aliases=("SD3.5",),
    ),
)

FAMILIES: dict[str, FamilyRow] = {row.name: row for row in _ROWS}
