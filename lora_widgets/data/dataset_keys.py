"""The keys of a dataset file: sd-scripts' names, the settings they stand for, and those that are refused."""

from collections.abc import Mapping
from typing import NamedTuple

# What every table may say, [general] and [[datasets]] for all subsets below: key -> setting.
SUBSET_KEYS: Mapping[str, str] = {
    "num_repeats": "num_repeats",
    "caption_extension": "caption_extension",
    "caption_separator": "caption_separator",
    "keep_tokens": "keep_tokens",
    "keep_tokens_separator": "keep_tokens_separator",
    "secondary_separator": "secondary_separator",
    "enable_wildcard": "enable_wildcard",
    "shuffle_caption": "shuffle_caption",
    "caption_prefix": "caption_prefix",
    "caption_suffix": "caption_suffix",
    "caption_dropout_rate": "caption_dropout_rate",
    "caption_tag_dropout_rate": "caption_tag_dropout_rate",
    "caption_dropout_every_n_epochs": "caption_dropout_every_n_epochs",
    "flip_aug": "flip_aug",
    "random_crop": "random_crop",
    "alpha_mask": "alpha_mask",
    "conditioning_data_dir": "mask_data_dir",
    "recursive": "nested_folders",
}
# What [general] and [[datasets]] may say.
DATASET_KEYS: Mapping[str, str] = {
    "resolution": "resolution",
    "batch_size": "train_batch_size",
    "enable_bucket": "enable_bucket",
    "min_bucket_reso": "min_bucket_reso",
    "max_bucket_reso": "max_bucket_reso",
    "bucket_reso_steps": "bucket_reso_steps",
    "bucket_no_upscale": "bucket_no_upscale",
}
SETTING_OF: Mapping[str, str] = {**SUBSET_KEYS, **DATASET_KEYS}
CLASS_TOKENS = "class_tokens"  # like the keys of subsets, but no setting
ONLY_IN_SUBSETS: Mapping[str, type] = {"image_dir": str, "is_reg": bool}


class Refused(NamedTuple):
    """A key of sd-scripts that this program does not act on; harmless with one of the values ``off``."""

    reason: str
    off: tuple[object, ...] = ()


REFUSED: Mapping[str, Refused] = {
    "color_aug": Refused("colours are not varied here", (False,)),
    "face_crop_aug_range": Refused("pictures are not cropped around faces here"),
    "token_warmup_min": Refused("captions do not grow during training here", (0, 1)),
    "token_warmup_step": Refused("captions do not grow during training here", (0,)),
    "network_multiplier": Refused("the LoRA acts in full on every dataset here", (1,)),
    "metadata_file": Refused(
        "captions are read from files beside the pictures; name a folder by `image_dir`"
    ),
    "cache_info": Refused(
        "sizes and captions are read anew at each start, which takes a moment only", (False,)
    ),
    "validation_split": Refused("no pictures are kept for validation here", (0,)),
    "validation_seed": Refused("no pictures are kept for validation here", (0,)),
    "resize_interpolation": Refused("pictures are always scaled by Lanczos here", ("lanczos",)),
    "custom_attributes": Refused("no code here acts on attributes", ({},)),
    "skip_image_resolution": Refused("no pictures are left out for their size here; sort them out yourself"),
    "max_token_length": Refused("it is the same for the whole training; use the setting of this name"),
    "prior_loss_weight": Refused("it is the same for the whole training; use the setting of this name"),
}
