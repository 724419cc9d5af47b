"""What training relies on: attaching, restoring, dropout, loading, checkpointing."""

import pytest
import torch
from known_faults import no_lora_for_clip

from lora_widgets.errors import ModelError, StateError


def forwards(family):
    return {
        path: dict(module.__dict__).get("forward")
        for root in family.roots().values()
        for path, module in root.module.named_modules()
    }


def gradients(adapter, answer):
    for parameters in adapter.parameters_of().values():
        for parameter in parameters:
            parameter.grad = None
    answer().square().mean().backward()
    return [p.grad.clone() for group in adapter.parameters_of().values() for p in group]


@torch.no_grad()
def test_a_fresh_adapter_changes_nothing(attached, answer):
    before = answer()
    attached()
    assert torch.equal(answer(), before)


@torch.no_grad()
def test_a_filled_adapter_changes_the_answer_and_disabled_is_exact(attached, answer, fill):
    before = answer()
    adapter = fill(attached())
    assert not torch.allclose(answer(), before)
    with adapter.disabled():
        assert torch.equal(answer(), before)
    assert not torch.allclose(answer(), before)


@torch.no_grad()
def test_disabling_a_detached_adapter_does_not_bring_it_back(attached, answer, fill):
    before = answer()
    adapter = fill(attached())
    adapter.detach()
    with adapter.disabled():
        pass
    assert torch.equal(answer(), before)


@torch.no_grad()
def test_detaching_restores_the_model_exactly_so_that_a_second_run_starts_clean(
    family, attached, answer, fill
):
    before, untouched = answer(), forwards(family)
    adapter = fill(attached())
    adapter.detach()
    adapter.detach()
    assert forwards(family) == untouched
    assert torch.equal(answer(), before)
    attached()
    assert torch.equal(answer(), before)


def test_the_same_generator_gives_the_same_start(attached):
    first = attached().tensors()
    torch.randn(3)
    second = attached().tensors()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_every_parameter_gets_a_gradient_and_the_base_none(family, attached, answer, fill):
    adapter = fill(attached())
    assert all(gradient.abs().sum() > 0 for gradient in gradients(adapter, answer))
    for root in family.roots().values():
        assert all(parameter.grad is None for parameter in root.module.parameters())


def test_only_what_trains_is_adapted(attached):
    assert attached(trains_text_encoder=False).counts() == {"unet": 192}
    adapter = attached(trains_unet=False)
    assert adapter.counts() == {"text_encoder": 12}
    assert adapter.num_parameters() == {"text_encoder": 3584}


def test_training_nothing_is_refused(attached):
    with pytest.raises(ModelError, match="`unet_lr` and `text_encoder_lr`"):
        attached(trains_unet=False, trains_text_encoder=False)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradient_checkpointing_gives_the_same_gradients(family, attached, answer, fill, dropout):
    adapter = fill(attached(network_dropout=dropout))
    adapter.set_position(4, 0)
    plain = gradients(adapter, answer)
    family.enable_gradient_checkpointing(unet=True, text_encoder=True)
    calls = []
    for root in family.roots().values():
        layer = next(
            m for m in root.module.modules() if type(m).__name__ in {"BasicTransformerBlock", "CLIPMLP"}
        )
        layer.register_forward_pre_hook(lambda module, _: calls.append(type(module).__name__))
    checkpointed = gradients(adapter, answer)
    assert sorted(calls) == ["BasicTransformerBlock"] * 2 + ["CLIPMLP"] * 2  # once more in the backward pass
    for ours, theirs in zip(checkpointed, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-8)


def test_dropout_ignores_the_global_generator_and_leaves_it_alone(attached, answer, fill):
    adapter = fill(attached(network_dropout=0.4))
    adapter.set_position(1, 0)
    first = answer().detach()
    torch.randn(11)
    before = torch.get_rng_state()
    assert torch.equal(answer().detach(), first)
    assert torch.equal(torch.get_rng_state(), before)
    adapter.set_position(2, 0)
    assert not torch.equal(answer().detach(), first)


def test_samples_are_made_without_dropout(attached, answer, fill):
    adapter = fill(attached(network_dropout=0.4))
    adapter.mode(training=False)
    first = answer().detach()
    adapter.set_position(9, 9)
    assert torch.equal(answer().detach(), first)


def test_tensors_return_to_where_they_came_from(attached, answer, fill):
    adapter = fill(attached())
    saved, expected = {k: t.clone() for k, t in adapter.tensors().items()}, answer().detach()
    fill(adapter, seed=6)
    assert adapter.load_tensors(saved, source="a.safetensors") == ()
    assert torch.equal(answer().detach(), expected)
    assert all(torch.equal(tensor, saved[key]) for key, tensor in adapter.tensors().items())


def test_a_file_with_another_alpha_keeps_its_effect(attached, answer, fill):
    adapter = fill(attached(network_alpha=4.0))
    saved, expected = {k: t.clone() for k, t in adapter.tensors().items()}, answer().detach()
    adapter.detach()
    other = attached(network_alpha=1.0)
    other.load_tensors(saved, source="a.safetensors")
    torch.testing.assert_close(answer().detach(), expected, rtol=1e-4, atol=1e-5)


def test_the_wrong_dimension_names_both_and_changes_nothing(attached, fill):
    saved = fill(attached(network_dim=8)).tensors()
    adapter = attached(network_dim=4)
    before = {k: t.clone() for k, t in adapter.tensors().items()}
    with pytest.raises(StateError, match=r"a\.safetensors.*dimension 8, but `network_dim` is 4"):
        adapter.load_tensors(saved, source="a.safetensors")
    assert all(torch.equal(tensor, before[key]) for key, tensor in adapter.tensors().items())


def test_a_file_that_fits_nowhere_is_refused(attached):
    with pytest.raises(StateError, match=r"No weight of a\.safetensors matches"):
        attached().load_tensors(
            {"lora_unet_input_blocks_1.lora_up.weight": torch.ones(1)}, source="a.safetensors"
        )


def test_what_finds_no_partner_is_told(attached, fill):
    both = attached().tensors()
    unet_only = attached(trains_text_encoder=False)
    (unused,) = unet_only.load_tensors(both, source="a.safetensors")
    assert unused.startswith("12 modules of a.safetensors are not used")
    adapter = attached()
    (fresh,) = adapter.load_tensors(unet_only.tensors(), source="b.safetensors")
    assert fresh.startswith("12 modules start fresh")


@no_lora_for_clip
@torch.no_grad()
def test_a_saved_file_gives_the_same_output_in_diffusers(family, attached, answer, fill, tmp_path):
    pytest.importorskip("peft")
    from diffusers import StableDiffusionPipeline
    from safetensors.torch import save_file

    adapter = fill(attached())
    expected = answer()
    save_file({k: t.contiguous() for k, t in adapter.tensors().items()}, tmp_path / "x.safetensors")
    adapter.detach()
    state, alphas = StableDiffusionPipeline.lora_state_dict(str(tmp_path), weight_name="x.safetensors")
    StableDiffusionPipeline.load_lora_into_unet(state, alphas, unet=family.unet)
    StableDiffusionPipeline.load_lora_into_text_encoder(state, alphas, text_encoder=family.clip_l.model)
    torch.testing.assert_close(answer(), expected, rtol=1e-4, atol=1e-5)
