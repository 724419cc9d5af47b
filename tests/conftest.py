"""What every test shares: a quiet, offline, two-thread process, a tiny model and a tiny dataset."""

import gc
import os
import sys
from pathlib import Path

# Before anything imports torch, matplotlib or the hub client: they read these once.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# importlib mode adds nothing to the path; tests say `from tiny import make_tiny`.
sys.path.insert(0, str(Path(__file__).parent))

import random

import pytest
from hypothesis import HealthCheck, settings
from own_cache import MEASURED
from PIL import Image, ImageDraw

settings.register_profile(
    "quick",
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

COLOURS = ("red", "green", "blue", "orange")


@pytest.fixture(scope="module", autouse=True)
def _imports_are_no_garbage():
    """Take what is there out of the collector's sight.

    Letting go of a model collects garbage; to look through all modules and tests each time would take longer
    than a short run.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_was_measured_before():
    """Let no test know what the runs of another took."""
    MEASURED.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def tiny_sd15(tmp_path_factory) -> Path:
    """Folder of an SD1.5 model in miniature with random weights; read it, do not write to it."""
    from tiny import make_tiny

    return make_tiny("sd15", tmp_path_factory.mktemp("tiny_sd15"))


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory) -> Path:
    """Folder of an SDXL model in miniature with random weights; read it, do not write to it."""
    from tiny import make_tiny

    return make_tiny("sdxl", tmp_path_factory.mktemp("tiny_sdxl"))


@pytest.fixture(scope="session")
def tiny_sd3(tmp_path_factory) -> Path:
    """Folder of an SD3 model in miniature with random weights; read it, do not write to it."""
    from tiny import make_tiny

    return make_tiny("sd3", tmp_path_factory.mktemp("tiny_sd3"))


@pytest.fixture(scope="session")
def tiny_sd35(tmp_path_factory) -> Path:
    """Folder of an SD3.5 medium in miniature with random weights; read it, do not write to it."""
    from tiny import make_tiny

    return make_tiny("sd35m", tmp_path_factory.mktemp("tiny_sd35"))


@pytest.fixture(scope="session")
def tiny_flux(tmp_path_factory) -> Path:
    """Folder of a Flux dev in miniature with random weights; read it, do not write to it."""
    from tiny import make_tiny

    return make_tiny("flux-dev", tmp_path_factory.mktemp("tiny_flux"))


@pytest.fixture
def tiny_dataset(tmp_path) -> Path:
    """Folder with `2_thing`, 8 captioned pictures of 64 to 96 px, each to be seen twice per epoch."""
    folder = tmp_path / "pictures" / "2_thing"
    folder.mkdir(parents=True)
    rng = random.Random(0)
    for number in range(8):
        size = (rng.randrange(64, 97, 8), rng.randrange(64, 97, 8))
        colour = COLOURS[number % len(COLOURS)]
        picture = Image.new("RGB", size, "white")
        ImageDraw.Draw(picture).ellipse((8, 8, 32 + 2 * number, 40), fill=colour)
        picture.save(folder / f"thing_{number}.png")
        (folder / f"thing_{number}.txt").write_text(
            f"thing, {colour} dot, number {number}\n", encoding="utf-8"
        )
    return folder.parent
