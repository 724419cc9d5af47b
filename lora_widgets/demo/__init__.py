"""The embedded default: a small base model, pictures of a subject new to it, and a ready configuration.

SD1.5's architecture in miniature, so that the main job runs on a laptop processor in about a minute and tests
can ask whether something was learned. The engine treats it as any other model folder; only `paths` says where
it lies.
"""

from lora_widgets.demo.config import demo_config

__all__ = ["demo_config"]
