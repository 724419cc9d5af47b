import pytest

from lora_widgets.data.caption_files import read_caption_file
from lora_widgets.errors import DatasetError


def lines(picture, extension=".txt"):
    caption = read_caption_file(picture, extension)
    return None if caption is None else caption.lines


def test_lines_are_stripped_and_empty_ones_go(tmp_path):
    (tmp_path / "a.txt").write_text("  one, two \r\n\n\tthree\n", encoding="utf-8")
    assert lines(tmp_path / "a.png") == ("one, two", "three")


def test_wanted_extension_comes_first_then_txt_then_caption(tmp_path):
    for extension in (".caption", ".txt", ".tags"):
        (tmp_path / f"a{extension}").write_text(extension, encoding="utf-8")
        assert lines(tmp_path / "a.png", ".tags") == (extension,)
    assert lines(tmp_path / "a.png", "tags") == (".tags",)
    assert lines(tmp_path / "a.png", "") == (".txt",)


def test_letter_case_and_dots_in_names(tmp_path):
    (tmp_path / "a.v2.TXT").write_text("cat", encoding="utf-8")
    assert lines(tmp_path / "a.v2.png") == ("cat",)


def test_byte_order_mark_is_no_part_of_the_first_tag(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfcat")
    assert lines(tmp_path / "a.png") == ("cat",)


def test_no_caption_file(tmp_path):
    assert lines(tmp_path / "a.png") is None


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_other_encodings_are_named_with_the_remedy(tmp_path, encoding):
    (tmp_path / "a.txt").write_text("Zürich", encoding=encoding)
    with pytest.raises(DatasetError, match=r"a\.txt is not UTF-8 .*save it again"):
        read_caption_file(tmp_path / "a.png", ".txt")
