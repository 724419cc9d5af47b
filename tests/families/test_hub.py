"""Fetching from the hub, against a double of the download: nothing leaves this machine."""

import shutil
import threading
from fnmatch import fnmatch

import httpx
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from lora_widgets.errors import ModelError
from lora_widgets.families import hub
from lora_widgets.families.weights import Source, downloading

MODEL = "pretrained_model_name_or_path"
NAME = "owner/model"


class Hub:
    """Stands in for the hub: a repository, what was fetched of it, and how much was asked for."""

    def __init__(self, repository, cache):
        self.repository, self.cache = repository, cache
        self.calls = 0

    def download(self, name, *, allow_patterns, ignore_patterns, tqdm_class):
        assert name == NAME
        self.calls += 1
        for path in sorted(self.repository.rglob("*")):
            file = path.relative_to(self.repository).as_posix()
            if path.is_dir() or not any(fnmatch(file, p) for p in allow_patterns):
                continue
            if not any(fnmatch(file, p) for p in ignore_patterns or ()):
                self._copy(path, self.cache / file, tqdm_class)
        return str(self.cache)

    def _copy(self, source, target, tqdm_class):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
            size = source.stat().st_size
            bar = tqdm_class(total=size, unit="B", desc="Downloading bytes")
            for _ in range(10):
                bar.update(size // 10)

    def files(self):
        return {p.relative_to(self.cache).as_posix() for p in self.cache.rglob("*") if p.is_file()}


@pytest.fixture
def repository(tiny_sd15, tmp_path):
    return shutil.copytree(tiny_sd15, tmp_path / "repository")


@pytest.fixture
def online(repository, tmp_path, monkeypatch):
    double = Hub(repository, tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr("huggingface_hub.snapshot_download", double.download)
    return double


def test_opening_a_hub_model_fetches_only_the_small_files(open_tiny, online):
    family = open_tiny(pretrained_model_name_or_path=NAME)
    assert family.vae.latent_factor == 8
    assert not any(name.endswith(".safetensors") for name in online.files())
    assert "tokenizer/vocab.json" in online.files()


def test_a_hub_model_computes_what_its_folder_computes(open_tiny, online):
    family, own = open_tiny(pretrained_model_name_or_path=NAME), open_tiny()
    for one in (family, own):
        one.text.load("cpu", torch.float32)
    assert torch.equal(family.encode_text(["a"], skip=1).hidden, own.encode_text(["a"], skip=1).hidden)
    assert family.identity()["ss_sd_model_name"] == "model"


def test_full_precision_is_preferred_and_doubles_are_left_out(open_tiny, online, repository):
    unet = repository / "unet" / "diffusion_pytorch_model.safetensors"
    for name in (
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
        "diffusion_pytorch_model.bin",
        "x.non_ema.safetensors",
    ):
        shutil.copy(unet, unet.with_name(name))
    (repository / "v1-5-pruned.ckpt").write_bytes(b"big")
    open_tiny(pretrained_model_name_or_path=NAME).load_denoiser("cpu", torch.float32)
    weights = {name for name in online.files() if name.endswith((".safetensors", ".bin", ".ckpt"))}
    assert weights == {"unet/diffusion_pytorch_model.safetensors"}


def test_half_precision_is_taken_where_there_is_nothing_else(open_tiny, online, repository):
    unet = repository / "unet" / "diffusion_pytorch_model.safetensors"
    halves = {name: tensor.half() for name, tensor in load_file(unet).items()}
    save_file(halves, unet.with_name("diffusion_pytorch_model.fp16.safetensors"), metadata={"format": "pt"})
    unet.unlink()
    family = open_tiny(pretrained_model_name_or_path=NAME)
    family.load_denoiser("cpu", torch.float32)
    assert family.unet.dtype == torch.float32


def test_progress_of_the_download_is_told_and_nothing_where_all_is_here(open_tiny, online, monkeypatch):
    monkeypatch.setattr(hub, "_MEBIBYTE", 1000)
    family = open_tiny(pretrained_model_name_or_path=NAME)
    told = list(family.download())
    assert told
    assert all(0 < done <= total for done, total in told)
    for part in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
        assert f"{part}.safetensors" in online.files()
    assert list(family.download()) == []


def test_what_was_fetched_and_does_not_fit_is_refused_before_it_is_loaded(open_tiny, online, repository):
    unet = repository / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(unet)
    del tensors["conv_in.weight"]
    save_file(tensors, unet, metadata={"format": "pt"})
    family = open_tiny(pretrained_model_name_or_path=NAME)
    with pytest.raises(ModelError, match=r"The unet of the model .* conv_in.weight is missing"):
        list(family.download())


def test_a_vae_that_is_replaced_is_not_fetched(open_tiny, online, tiny_sd15):
    family = open_tiny(pretrained_model_name_or_path=NAME, vae_path=str(tiny_sd15 / "vae"))
    list(family.download())
    assert not any(name.startswith("vae/") and name.endswith(".safetensors") for name in online.files())


def test_folders_and_files_have_nothing_to_download(open_tiny, open_file):
    assert list(open_tiny().download()) == list(open_file().download()) == []


def test_giving_up_ends_the_download(monkeypatch):
    going, ended = threading.Event(), threading.Event()

    def download(name, *, allow_patterns, ignore_patterns, tqdm_class):
        bar = tqdm_class(total=2**40, unit="B")
        try:
            for _ in range(1000):
                bar.update(2**21)
                going.set()
                threading.Event().wait(0.02)
        except hub.Abandoned:
            ended.set()
            raise

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(hub, "POLL_S", 0.01)
    progress = hub.fetching(NAME, "unet")
    assert next(progress)[1] == 2**20
    progress.close()
    assert ended.wait(5)


def response(status):
    return httpx.Response(status, request=httpx.Request("GET", "https://huggingface.co/x"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            errors.GatedRepoError("401", response=response(401)),
            ("ask for consent", "https://huggingface.co/owner/model", "HF_TOKEN"),
        ),
        (
            errors.RepositoryNotFoundError("404", response=response(404)),
            ("no such model, or it is private", "Check the spelling of 'owner/model'", "HF_TOKEN"),
        ),
        (
            errors.LocalEntryNotFoundError("Cannot find"),
            ("this machine is offline", "hf download owner/model --local-dir my-model", "`" + MODEL + "`"),
        ),
        (OSError(28, "No space left on device"), ("the disk is full", "HF_HOME")),
        (
            errors.HfHubHTTPError("500 Server Error\nmore", response=response(500)),
            ("500 Server Error", "hf download"),
        ),
        (errors.HFValidationError("bad"), ('Names are like "owner/model"',)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_failures_are_told_in_words_with_the_remedy(open_tiny, monkeypatch, error, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(ModelError) as caught:
        open_tiny(pretrained_model_name_or_path=NAME)
    for word in (*words, f"`{MODEL}` is 'owner/model'", "could not be fetched"):
        assert word in str(caught.value)


def test_a_failure_while_weights_are_fetched_is_told_alike(online, monkeypatch):
    source = Source(MODEL, NAME, is_folder=False)
    assert source.folder

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(ModelError, match="the disk is full"):
        list(downloading(source, "unet"))
