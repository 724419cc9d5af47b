"""What is said of tensors that a model asks for and files do not hold."""

from torch import nn

from lora_widgets.families.native_names import of_folder
from lora_widgets.families.part_fit import cannot_be_renamed, fit_of

MODEL = nn.ModuleDict({"first": nn.Linear(3, 2, bias=False), "second": nn.Linear(5, 4, bias=False)})


def judged(shapes):
    found = of_folder(shapes)
    fit = fit_of(MODEL, found)
    return fit.wrong, cannot_be_renamed(fit, found)


def test_all_is_there():
    assert judged({"first.weight": (2, 3), "second.weight": (4, 5), "more": (1,)}) == ((), ())


def test_a_convolution_of_one_pixel_is_a_linear_layer():
    assert judged({"first.weight": (2, 3, 1, 1), "second.weight": (4, 5)}) == ((), ())


def test_another_size():
    said = ("first.weight is 3 x 3, not 2 x 3",)
    assert judged({"first.weight": (3, 3), "second.weight": (4, 5)}) == (said, said)


def test_a_name_of_an_older_version_is_left_to_the_library():
    assert judged({"old.kernel": (2, 3), "second.weight": (4, 5)}) == (("first.weight is missing",), ())


def test_what_no_tensor_can_be_by_its_size_is_missing_for_certain():
    wrong = ("first.weight is missing", "second.weight is missing")
    assert judged({"old.kernel": (2, 3)}) == (wrong, ("second.weight is missing",))
