"""Where a base model's files are, and loading one part of it.

A model is a folder in diffusers layout, or a hub name such as ``owner/model`` that is fetched in that layout.
Everything that can go wrong with a path is told before any weights are loaded.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lora_widgets.catalog.weight_variants import variant_of, weights_of_one_variant
from lora_widgets.config.weight_headers import WEIGHT_SUFFIXES
from lora_widgets.errors import ModelError
from lora_widgets.families import hub

LAYOUT = "model_index.json and the folders unet, vae, text_encoder, tokenizer and scheduler"
FAST_VOCABULARIES = (("vocab.json", "merges.txt"), ("tokenizer.json",))
VOCABULARIES = (*FAST_VOCABULARIES, ("spiece.model",))
"""The files of tokenizers; that of sentencepiece needs a package of its own."""
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Source:
    """A base model or a part of one: a folder on this machine, or a name on the hub.

    ``setting`` is the setting it came from, for messages.
    """

    setting: str
    place: str
    is_folder: bool

    def read_json(self, file: str) -> dict[str, Any] | None:
        """Return a small configuration file of the model, or None where the model has none.

        Raises:
            ModelError: the file is damaged, or the hub cannot be reached.
        """
        path = self.folder / file
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise self._damaged(path, str(error)) from error
        if not isinstance(content, dict):
            raise self._damaged(path, "it is no JSON object")
        return content

    def _damaged(self, path: Path, reason: str) -> ModelError:
        return ModelError(
            f"{path} of the model in `{self.setting}` is damaged ({reason}). Download this file again."
        )

    @cached_property
    def folder(self) -> Path:
        """The folder on this machine; of a hub name the download, which holds the small files at least.

        Raises:
            ModelError: the hub cannot be reached, or refuses.
        """
        return Path(self.place) if self.is_folder else self.fetched(hub.SMALL_FILES)

    def fetched(self, patterns: Sequence[str]) -> Path:
        """Return the folder of a hub name's download, with the files that match ``patterns``.

        Raises:
            ModelError: the hub cannot be reached, or refuses.
        """
        try:
            return hub.fetch(self.place, patterns)
        except hub.Unfetched as error:
            raise self.unavailable(error) from error

    def unavailable(self, error: hub.Unfetched) -> ModelError:
        """Return the error that says what to download and where to put it."""
        usual = (
            f"On a machine with internet run `hf download {self.place} --local-dir my-model`, copy the "
            f'folder my-model here and set `{self.setting}` to its path; or set it to "demo" for the model '
            "that comes with this package."
        )
        return ModelError(
            f"`{self.setting}` is {self.place!r}, which is no folder here and could not be fetched from the "
            f"Hugging Face hub: {error.reason} {error.remedy or usual}"
        )


def locate_model(setting: str, value: str) -> Source:
    """Return where the base model is.

    Raises:
        ModelError: nothing is there.
    """
    if value == "demo":
        from lora_widgets.demo.paths import model_folder

        return Source(setting, str(model_folder()), is_folder=True)
    path = Path(value).expanduser()
    if path.is_dir():
        return Source(setting, str(path), is_folder=True)
    if not value.strip() or path.suffix.lower() in WEIGHT_SUFFIXES or not _HUB_NAME.fullmatch(value):
        raise ModelError(
            f"`{setting}` is {value!r}, but nothing is there. Set it to the folder of a model in diffusers "
            f"layout ({LAYOUT}), to a single .safetensors or .ckpt file, to a hub name such as "
            '"owner/model", or to "demo".'
        )
    return Source(setting, value, is_folder=False)


def locate_vae(value: str) -> Source:
    """Return the folder of a replacement autoencoder: it holds config.json, or a vae folder that does.

    Raises:
        ModelError: it is not such a folder.
    """
    path = Path(value).expanduser()
    for folder in (path / "vae", path):
        source = Source("vae_path", str(folder), is_folder=True)
        if (config := source.read_json("config.json")) is not None:
            _refuse_other_class(source, config)
            return source
    found = "which has no autoencoder's config.json" if path.is_dir() else "but nothing is there"
    raise ModelError(
        f"`vae_path` is {value!r}, {found}. Set `vae_path` to a .safetensors file or a folder with an "
        "autoencoder, or leave it empty to use the base model's own."
    )


def _refuse_other_class(vae: Source, config: Mapping[str, Any]) -> None:
    """Make sure that a folder holds an autoencoder of Stable Diffusion, as far as it names its class."""
    found = config.get("_class_name") or " ".join(config.get("architectures") or ())
    if found and found != "AutoencoderKL":
        raise ModelError(
            f"`vae_path` is {vae.place!r}, which holds a model of the class {found}, but a VAE of the class "
            "AutoencoderKL belongs there. Choose another folder, or leave it empty to use the base model's "
            "own."
        )


def load_part(
    loader: Callable[..., nn.Module],
    source: Source,
    *,
    subfolder: str,
    device: torch.device | str,
    **dtype: torch.dtype,
) -> Any:
    """Load weights with a ``from_pretrained`` function: frozen, in eval mode, on ``device``.

    The library is told which of the files it is to load. ``dtype`` is named as it names it: ``dtype=`` or
    ``torch_dtype=``.

    Raises:
        ModelError: the weights are missing, incomplete, damaged, or cannot be fetched.
    """
    files = weights_of(source, subfolder)
    load = partial(
        loader,
        with_weights(source, subfolder),
        subfolder=subfolder,
        variant=variant_of(files[0].name) if files else None,
        use_safetensors=not files or files[0].suffix == ".safetensors",
        low_cpu_mem_usage=True,
        output_loading_info=True,
        **dtype,
    )
    model, report = _loaded(load, source, subfolder)
    if missing := sorted(report["missing_keys"]):  # the libraries go on with random numbers
        raise does_not_fit(source, subfolder, [f"{name} is missing" for name in missing])
    return model.requires_grad_(requires_grad=False).eval().to(device)


def does_not_fit(source: Source, part: str, wrong: Sequence[str]) -> ModelError:
    """Return the error about the folder of a part whose weights are not those that its class asks for."""
    return ModelError(
        f"The {part or 'autoencoder'} of the model in `{source.setting}` ({source.place}) does not fit its "
        f"config.json: {first_of(wrong)}. Download this folder again."
    )


def first_of(found: Sequence[str]) -> str:
    """Name the first of several, and say how many more there are."""
    return found[0] if len(found) == 1 else f"{found[0]}, and {len(found) - 1} more"


def with_weights(source: Source, part: str) -> Path:
    """Return the folder of a model on this machine in which the weights of a part are.

    Raises:
        ModelError: they cannot be fetched.
    """
    if source.is_folder:
        return source.folder
    try:
        return hub.fetch_part(source.place, part)
    except hub.Unfetched as error:
        raise source.unavailable(error) from error


def weights_of(source: Source, part: str) -> list[Path]:
    """Return the files with the weights of a part, of one variant; none where there are none.

    Raises:
        ModelError: they cannot be fetched.
    """
    folder = with_weights(source, part) / part
    return [folder / name for name in weights_of_one_variant(path.name for path in folder.glob("*"))]


def refuse_missing_weights(source: Source, part: str) -> None:
    """Make sure that the folder of a part holds weights, and all of the files that their index names.

    Raises:
        ModelError: there are none, or one of several is missing.
    """
    folder = source.folder / part
    names = {path.name for path in weights_of(source, part)}
    called = f"The {part or 'autoencoder'} of the model in `{source.setting}` ({source.place})"
    if not names:
        raise ModelError(
            f"{called} has no weights: no .safetensors or .bin file is in {folder}. Download this folder "
            "again."
        )
    for index in sorted(folder.glob("*.index*.json")):
        content = source.read_json(f"{part}/{index.name}" if part else index.name) or {}
        named = set(content.get("weight_map", {}).values())
        missing = sorted(named - names)
        if missing and named & names:  # the index of another variant may be here without its files
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ModelError(
                f"{called} is incomplete: {index.name} names {missing[0]}{more}, which is not there. "
                f"Download the folder {folder} again."
            )


def load_tokenizer(loader: Callable[..., Any], source: Source, *, subfolder: str) -> Any:
    """Load a tokenizer with a ``from_pretrained`` function.

    Raises:
        ModelError: its files are missing, damaged, or cannot be fetched.
    """
    called = subfolder or "tokenizer"
    if not holds_vocabulary(source.folder / subfolder, *VOCABULARIES):
        # transformers 5 makes a tokenizer of no files, which knows no word
        raise ModelError(
            f"The {called} of the model in `{source.setting}` ({source.place}) has no vocabulary. "
            f"Download the model's {called} folder (vocab.json and merges.txt, or tokenizer.json) again."
        )
    return _loaded(partial(loader, source.folder, subfolder=subfolder), source, called)


def holds_vocabulary(folder: Path, *vocabularies: Sequence[str]) -> bool:
    """Tell whether all files of one of the vocabularies are in a folder, and hold something."""
    return any(
        all((folder / name).is_file() and (folder / name).stat().st_size for name in names)
        for names in vocabularies
    )


def downloading(source: Source, part: str) -> Iterator[tuple[int, int]]:
    """Fetch the weights of a part from the hub, and yield (done, total) in MiB; nothing for a folder.

    Raises:
        ModelError: they cannot be fetched.
    """
    if source.is_folder:
        return
    try:
        yield from hub.fetching(source.place, part)
    except hub.Unfetched as error:
        raise source.unavailable(error) from error


def _loaded(load: Callable[[], Any], source: Source, part: str) -> Any:
    try:
        with _without_progress_bars():  # it takes a moment, and its phase is reported as an event
            return load()
    except (MemoryError, torch.OutOfMemoryError):  # no fault of the files
        raise
    except Exception as error:  # the libraries raise of all kinds, tokenizers a plain Exception
        raise ModelError(
            f"The {part or 'autoencoder'} of the model in `{source.setting}` ({source.place}) cannot be "
            f"loaded: {_first_line(error)} Check that the download is complete, or download it again."
        ) from error


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    loggers = [log for log in (diffusers_logging, transformers_logging) if log.is_progress_bar_enabled()]
    for log in loggers:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in loggers:
            log.enable_progress_bar()


def _first_line(reason: object) -> str:
    text = str(reason).strip().splitlines()
    line = text[0].rstrip() if text else type(reason).__name__
    return line if line.endswith((".", "!", "?")) else f"{line}."
