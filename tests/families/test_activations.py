"""What autograd keeps of a real-size UNet, counted in a dry run without memory, beside the formula."""

import pytest
import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from torch import nn
from torch.nn import functional

from lora_widgets.adapters.targets import targets
from lora_widgets.config.activations import activations_of
from lora_widgets.families import denoiser
from lora_widgets.families.family import Root
from lora_widgets.families.part_configs import embedded_configs


class FusedAttention(torch.autograd.Function):
    """Keeps what fused kernels keep; the meta device has none of its own."""

    @staticmethod
    def forward(ctx, query, key, value):
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out


class SmallLoRA(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.base = layer.forward
        is_linear = isinstance(layer, nn.Linear)
        kernel = () if is_linear else (1, 1)
        rows, columns = layer.weight.shape[:2]
        self.down = nn.Parameter(torch.empty(1, columns, *kernel, device="meta"))
        self.up = nn.Parameter(torch.empty(rows, 1, *kernel, device="meta"))
        self.product = functional.linear if is_linear else functional.conv2d

    def forward(self, x):
        return self.base(x) + self.product(self.product(x, self.down), self.up)


def numbers_kept(config, *, side, checkpointing):
    """Return the numbers that the backward pass of one picture would need, per latent position."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    unet.requires_grad_(requires_grad=False).eval()
    for target in targets(Root(unet, "lora_unet")):
        target.layer.forward = SmallLoRA(target.layer).forward
    if checkpointing:
        denoiser.enable_checkpointing(unet)
    empty = {"device": "meta", "dtype": torch.float32}
    added = {"text_embeds": torch.empty(1, 1280, **empty), "time_ids": torch.empty(1, 6, **empty)}
    read = {
        "sample": torch.empty(1, 4, side, side, **empty),
        "timestep": torch.empty(1, **empty),
        "encoder_hidden_states": torch.empty(1, 77, config["cross_attention_dim"], **empty),
        "added_cond_kwargs": added if config.get("addition_embed_type") else None,
    }
    return kept_by(lambda: unet(**read), unet) / side**2


def kept_by(call, model):
    """Return how many numbers a call keeps for its backward pass, beside the model's weights."""
    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    kept = {}

    def keep(tensor):
        if tensor.untyped_storage()._cdata not in weights and not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        call()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / 4


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("family", "side"), [("sd15", 64), ("sdxl", 128)])
def test_the_formula_counts_what_autograd_keeps(monkeypatch, family, side, checkpointing):
    monkeypatch.setattr(
        functional,
        "scaled_dot_product_attention",
        lambda query, key, value, **_: FusedAttention.apply(query, key, value),
    )
    config = embedded_configs(family)["unet"]
    counted = numbers_kept(config, side=side, checkpointing=checkpointing)
    expected = activations_of(config)
    assert expected is not None
    units = sum(unit.kept if checkpointing else unit.inside for unit in expected.units)
    assert expected.between + units == pytest.approx(counted, rel=0.03)


TRANSFORMERS = {
    "flux": {"num_layers": 2, "num_single_layers": 3},
    "sd3": {"num_layers": 3, "qk_norm": None},
    "sd3.5": {"num_layers": 3, "qk_norm": "rms_norm"},
}


def transformer_inputs(name, *, tokens, text):
    """Return a transformer of real width with few blocks, and what it reads of one picture."""
    config = {**embedded_configs(name.partition(".")[0])["transformer"], **TRANSFORMERS[name]}
    e = {"device": "meta"}
    if name == "flux":
        kind, config = (
            FluxTransformer2DModel,
            {**embedded_configs("flux")["transformer"], **TRANSFORMERS[name]},
        )
        read = {
            "hidden_states": torch.empty(1, tokens, 64, **e),
            "img_ids": torch.empty(tokens, 3, **e),
            "txt_ids": torch.empty(text, 3, **e),
            "guidance": torch.empty(1, **e),
            "pooled_projections": torch.empty(1, 768, **e),
        }
    else:
        kind = SD3Transformer2DModel
        side = 2 * round(tokens**0.5)
        read = {
            "hidden_states": torch.empty(1, 16, side, side, **e),
            "pooled_projections": torch.empty(1, 2048, **e),
        }
    read |= {"encoder_hidden_states": torch.empty(1, text, 4096, **e), "timestep": torch.empty(1, **e)}
    with torch.device("meta"):
        return kind.from_config(config), config, read


@pytest.mark.parametrize("name", sorted(TRANSFORMERS))
def test_the_formula_counts_the_blocks_of_transformers(monkeypatch, name):
    monkeypatch.setattr(
        functional,
        "scaled_dot_product_attention",
        lambda query, key, value, **_: FusedAttention.apply(query, key, value),
    )
    tokens = 1024
    model, config, read = transformer_inputs(name, tokens=tokens, text=333 if name != "flux" else 512)
    model.requires_grad_(requires_grad=False).eval()
    for path, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and "blocks." in path:
            layer.forward = SmallLoRA(layer).forward
    counted = kept_by(lambda: model(**read), model)
    expected = activations_of(config)
    assert expected is not None
    numbers = expected.between + sum(unit.inside for unit in expected.units)
    assert numbers * 4 * (tokens + expected.text_tokens) == pytest.approx(counted, rel=0.12)


def test_the_small_configurations_of_single_files_are_those_of_the_families():
    from lora_widgets.data.base_model import SINGLE_FILE_CONFIGS

    for family, folder in (("SD1.5", "sd15"), ("SDXL", "sdxl")):
        whole = embedded_configs(folder)["unet"]
        assert activations_of(SINGLE_FILE_CONFIGS[family]) == activations_of(whole)
