"""What a LoRA file says about the pictures it was trained on: kohya's ``ss_*`` names; no paths."""

import json
from collections import Counter
from collections.abc import Iterable

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.buckets import BucketPlan, Placement
from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.part_settings import PartSettings
from lora_widgets.data.scan import Scan
from lora_widgets.data.subset import Subset

Placed = tuple[Placement, ImageFile]


def describe_dataset(config: TrainingConfig, scan: Scan, plan: BucketPlan) -> dict[str, str]:
    """Return the metadata of a data set; with a dataset file, settings are those it is laid over."""
    learned = [image for image in scan.images if not image.subset.is_reg]
    regular = [image for image in scan.images if image.subset.is_reg]
    described = {
        "ss_num_train_images": sum(image.repeats for image in learned),
        "ss_num_reg_images": sum(image.repeats for image in regular),
        "ss_prior_loss_weight": config.prior_loss_weight,
        "ss_batch_size_per_device": config.train_batch_size,
        "ss_total_batch_size": config.train_batch_size * config.gradient_accumulation_steps,
        "ss_resolution": config.resolution_size,
        "ss_num_validation_images": 0,
        "ss_color_aug": False,
        "ss_face_crop_aug_range": None,
        "ss_resize_interpolation": None,
        "ss_flip_aug": config.flip_aug,
        "ss_random_crop": config.random_crop,
        "ss_shuffle_caption": config.shuffle_caption,
        "ss_keep_tokens": config.keep_tokens,
        "ss_caption_dropout_rate": config.caption_dropout_rate,
        "ss_caption_dropout_every_n_epochs": config.caption_dropout_every_n_epochs,
        "ss_caption_tag_dropout_rate": config.caption_tag_dropout_rate,
        "ss_enable_bucket": config.enable_bucket,
        "ss_bucket_no_upscale": config.bucket_no_upscale,
        "ss_min_bucket_reso": config.min_bucket_reso,
        "ss_max_bucket_reso": config.max_bucket_reso,
        "ss_dataset_dirs": json.dumps(_folders(learned)),
        "ss_reg_dataset_dirs": json.dumps(_folders(regular)),
        "ss_tag_frequency": json.dumps(_tag_frequency(scan.images)),
        "ss_bucket_info": json.dumps(_bucket_info(list(zip(plan.placements, scan.images, strict=True)))),
    }
    if config.dataset_config:
        described["ss_datasets"] = json.dumps(_parts(scan, plan))
    return {key: str(value) for key, value in described.items()}


def _parts(scan: Scan, plan: BucketPlan) -> list[dict[str, object]]:
    """Return what sd-scripts says of each data set of a file (``datasets_metadata`` of train_network.py)."""
    placed = list(zip(plan.placements, scan.images, strict=True))
    return [
        _part(settings, [(where, image) for where, image in placed if image.subset.part == number])
        for number, settings in enumerate(scan.parts)
    ]


def _part(settings: PartSettings, placed: list[Placed]) -> dict[str, object]:
    images = [image for _, image in placed]
    return {
        "is_dreambooth": True,  # pictures from folders, not from a file that lists them
        "batch_size_per_device": settings.train_batch_size,
        "num_train_images": sum(image.repeats for image in images if not image.subset.is_reg),
        "num_reg_images": sum(image.repeats for image in images if image.subset.is_reg),
        "resolution": settings.resolution_size,
        "enable_bucket": settings.enable_bucket,
        "min_bucket_reso": settings.min_bucket_reso if settings.enable_bucket else None,
        "max_bucket_reso": settings.max_bucket_reso if settings.enable_bucket else None,
        "tag_frequency": _tag_frequency(images),
        "bucket_info": _bucket_info(placed) if images else None,
        "resize_interpolation": None,
        "subsets": [
            _subset(subset, [image for image in images if image.subset is subset])
            for subset in {id(image.subset): image.subset for image in images}.values()
        ],
    }


def _subset(subset: Subset, images: list[ImageFile]) -> dict[str, object]:
    settings = subset.settings
    return {
        "img_count": len(images),
        "num_repeats": subset.repeats,
        "color_aug": False,
        "flip_aug": settings.flip_aug,
        "random_crop": settings.random_crop,
        "shuffle_caption": settings.shuffle_caption,
        "keep_tokens": settings.keep_tokens,
        "keep_tokens_separator": settings.keep_tokens_separator or None,
        "secondary_separator": settings.secondary_separator or None,
        "enable_wildcard": settings.enable_wildcard,
        "caption_prefix": settings.caption_prefix or None,
        "caption_suffix": settings.caption_suffix or None,
        "resize_interpolation": None,
        "image_dir": subset.folder.name,
        "class_tokens": subset.class_tokens or None,
        "is_reg": subset.is_reg,
    }


def _folders(images: Iterable[ImageFile]) -> dict[str, dict[str, int]]:
    """Count the pictures of each folder by its name; of regularisation, repeats are those asked for."""
    repeats: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for image in images:
        repeats[image.folder] = image.subset.repeats
        counts[image.folder] += 1
    return {folder: {"n_repeats": repeats[folder], "img_count": counts[folder]} for folder in counts}


def _tag_frequency(images: Iterable[ImageFile]) -> dict[str, dict[str, int]]:
    """Count the comma-separated tags of each folder, once a picture."""
    found: dict[str, Counter[str]] = {}
    for image in images:
        tags = (tag.strip().lower() for tag in image.captions[0].split(","))
        found.setdefault(image.folder, Counter()).update(tag for tag in tags if tag)
    return {folder: dict(counter) for folder, counter in found.items()}


def _bucket_info(placed: list[Placed]) -> dict[str, object]:
    buckets = BucketPlan(tuple(placement for placement, _ in placed)).buckets
    counts = Counter(dict.fromkeys(buckets, 0))
    for placement, image in placed:
        counts[placement.bucket] += image.repeats
    errors = [abs(i.size[0] / i.size[1] - p.bucket.width / p.bucket.height) for p, i in placed]
    listed = {
        str(number): {"resolution": [bucket.width, bucket.height], "count": count}
        for number, (bucket, count) in enumerate(counts.items())
    }
    return {"buckets": listed, "mean_img_ar_error": sum(errors) / len(errors)}
