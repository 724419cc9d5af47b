"""Paths in CLIP's text encoders as files of adapters have them, whatever transformers calls the modules."""

PROJECTION = "text_projection"
_LEVEL = "text_model."

WITH_PROJECTION = frozenset(
    {("SDXL", "text_encoder_2"), ("SD3", "text_encoder_1"), ("SD3", "text_encoder_2")}
)
"""The text encoders, by family and component, whose pooled text goes through a layer of its own."""


def clip_path(path: str) -> str:
    """Return the path in files of a module of CLIP.

    All but the projection is below ``text_model`` there, a level that transformers 5 dropped in some models.
    """
    return path if path == PROJECTION or path.startswith(_LEVEL) else _LEVEL + path
