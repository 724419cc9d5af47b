"""Stand-ins that remember how a tensor is cut: what they cut is what torch cuts."""

import pytest
import torch

from lora_widgets.families.piece import Piece

WHOLE = torch.arange(48.0).reshape(12, 4)

OPERATIONS = {
    "rows": lambda t: t[3:7],
    "one row": lambda t: t[2],
    "transposed": lambda t: t.T.contiguous(),
    "second third": lambda t: torch.chunk(t, 3, dim=0)[1],
    "chunk of columns": lambda t: t.chunk(2, dim=1)[1],
    "uneven split": lambda t: torch.split(t, (3, 4, 5), dim=0)[2],
    "swapped halves": lambda t: torch.cat(list(reversed(t.chunk(2, dim=0))), dim=0),
    "cut twice": lambda t: t[2:8].clone().detach()[:, 1:3],
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_piece_is_cut_as_the_tensor_would_be(operation):
    piece, expected = operation(Piece("name", tuple(WHOLE.shape))), operation(WHOLE)
    assert (piece.name, piece.shape, piece.ndim) == ("name", tuple(expected.shape), expected.ndim)
    assert torch.equal(piece.cut(WHOLE), expected)


def test_pieces_of_several_tensors_cannot_be_joined():
    with pytest.raises(ValueError, match="left, right"):
        torch.cat([Piece("left", (2, 2)), Piece("right", (2, 2))])


def test_other_functions_of_torch_refuse_a_piece():
    with pytest.raises(TypeError):
        torch.add(Piece("name", (2,)), 1)
