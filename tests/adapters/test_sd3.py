"""An adapter of SD3 and SD3.5: three components, and names as Stability's own code has them."""

import pytest
import torch


@pytest.fixture(params=["tiny_sd3", "tiny_sd35"])
def model_folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def answer(family):
    """Return what the model says to a fixed question: text encoders and transformer in one tensor."""

    def ask():
        noisy = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(3))
        text = family.encode_text(["a cat", "two dogs"], skip=1)
        return family.predict(noisy, torch.tensor([100, 700]), text, torch.zeros(2, 6))

    return ask


def test_the_transformer_and_both_clips_are_adapted(family, attached):
    second_attention = 2 if family.transformer.transformer_blocks[0].use_dual_attention else 0
    counts = {"unet": 17 + second_attention, "text_encoder_1": 12, "text_encoder_2": 12}
    assert attached().counts() == counts
    assert attached(trains_text_encoder=False).counts() == {"unet": counts["unet"]}


def test_all_that_learns_gets_a_gradient(attached, answer, fill):
    adapter = fill(attached())
    answer().square().mean().backward()
    without = [
        module.name
        for component in adapter._modules.values()
        for module in component
        if module.maths.lora_up.grad is None or not module.maths.lora_up.grad.any()
    ]
    assert without == []


def test_taking_the_adapter_out_gives_the_model_back(attached, answer, fill):
    with torch.no_grad():
        before = answer()
        adapter = fill(attached())
        assert not torch.allclose(answer(), before)
        adapter.detach()
        assert torch.equal(answer(), before)


def test_a_file_gives_the_answer_that_it_was_saved_with(attached, answer, fill):
    with torch.no_grad():
        first = fill(attached())
        learned = answer()
        tensors = {name: tensor.clone() for name, tensor in first.tensors().items()}
        first.detach()
        again = attached()
        assert again.load_tensors(tensors, source="x.safetensors") == ()
        assert torch.equal(answer(), learned)
    assert "lora_unet_joint_blocks_1_context_block_attn_qkv.lora_up.weight" in tensors
    assert "lora_unet_joint_blocks_1_context_block_attn_proj.lora_up.weight" not in tensors
