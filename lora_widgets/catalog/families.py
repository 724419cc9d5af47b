"""The model families: what a base model of each kind looks like, and which class trains it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SampleDefaults:
    """How a sample picture is drawn where its prompt does not say.

    ``scale`` is the guidance by the negative prompt, up to 1 being none; ``guidance`` is that which is
    embedded in the model, None where there is none. Sides are multiples of ``side_multiple`` pixels.
    """

    steps: int = 30
    scale: float = 7.5
    guidance: float | None = None
    side_multiple: int = 8


@dataclass(frozen=True)
class FamilyRow:
    """One model family.

    ``import_path`` is "module:class". ``bucket_multiple`` is the number
    of pixels by which bucket sides must be divisible, ``native_size_px`` the side the family was trained at,
    ``numbers_per_caption`` how many numbers the denoiser reads of a short caption. ``text_encoders`` are the
    components beside the denoiser that an adapter can train; ``has_t5`` tells whether T5 reads captions too.
    """

    name: str
    summary: str
    latent_channels: int
    bucket_multiple: int
    native_size_px: int
    numbers_per_caption: int
    predicts: str
    text_encoders: tuple[str, ...] = ("text_encoder",)
    samples: SampleDefaults = SampleDefaults()
    has_t5: bool = False
    import_path: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def is_flow(self) -> bool:
        """Whether it is a transformer trained by flow matching, which reads captions with T5 too."""
        return self.predicts == "velocity"


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
        text_encoders=("text_encoder_1", "text_encoder_2"),
        import_path="lora_widgets.families.sdxl:SDXL",
    ),
    FamilyRow(
        name="Flux",
        summary="Flux: rectified-flow transformer with CLIP and T5.",
        latent_channels=16,
        bucket_multiple=16,
        native_size_px=1024,
        numbers_per_caption=512 * 4096 + 768,
        predicts="velocity",
        has_t5=True,
        import_path="lora_widgets.families.flux:Flux",
        samples=SampleDefaults(steps=20, scale=1.0, guidance=3.5, side_multiple=16),
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
        has_t5=True,
        import_path="lora_widgets.families.sd3:SD3",
        text_encoders=("text_encoder_1", "text_encoder_2"),
        samples=SampleDefaults(side_multiple=16),
        aliases=("SD3.5",),
    ),
)

FAMILIES: dict[str, FamilyRow] = {row.name: row for row in _ROWS}
