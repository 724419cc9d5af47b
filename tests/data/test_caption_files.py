import pytest

from lora_widgets.data.caption_files import MAX_CAPTION_BYTES, CaptionNames, read_caption
from lora_widgets.errors import DatasetError


def caption_of(folder, picture, extension=".txt"):
    files = [path.name for path in folder.iterdir() if path.is_file()]
    return CaptionNames(folder, files, extension).of(picture.removesuffix(".png"))


def test_lines_are_stripped_and_empty_ones_go(tmp_path):
    (tmp_path / "a.txt").write_text("  one, two \r\n\n\tthree\n", encoding="utf-8")
    assert read_caption(tmp_path / "a.txt") == ("one, two", "three")


def test_wanted_extension_comes_first_then_txt_then_caption(tmp_path):
    for extension in (".caption", ".txt", ".tags"):
        (tmp_path / f"a{extension}").touch()
        assert caption_of(tmp_path, "a.png", ".tags") == f"a{extension}"
    assert caption_of(tmp_path, "a.png", "tags") == "a.tags"
    assert caption_of(tmp_path, "a.png", "") == "a.txt"


def test_letter_case_and_dots_in_names(tmp_path):
    (tmp_path / "a.v2.TXT").touch()
    assert caption_of(tmp_path, "a.v2.png") == "a.v2.TXT"
    (tmp_path / "a.v2.txt").touch()
    assert caption_of(tmp_path, "a.v2.png") == "a.v2.txt"


def test_extensions_may_have_several_dots(tmp_path):
    (tmp_path / "a.tags.txt").touch()
    assert caption_of(tmp_path, "a.png", ".tags.txt") == "a.tags.txt"
    assert caption_of(tmp_path, "a.png") is None


def test_disk_that_ignores_letter_case_is_asked(tmp_path):
    (tmp_path / "a.txt").touch()
    assert CaptionNames(tmp_path, ["A.txt"], ".txt").of("a") == "a.txt"


def test_byte_order_mark_is_no_part_of_the_first_tag(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfcat")
    assert read_caption(tmp_path / "a.txt") == ("cat",)


def test_no_caption_file(tmp_path):
    assert caption_of(tmp_path, "a.png") is None


def test_markup_and_emoji_are_text_like_any_other(tmp_path):
    text = "<script>alert('x')</script> & <b>café</b> 🐈"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert read_caption(tmp_path / "a.txt") == (text,)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le"])
def test_other_encodings_are_named_with_the_remedy(tmp_path, encoding):
    (tmp_path / "a.txt").write_text("Zürich" if encoding != "utf-16-le" else "cat", encoding=encoding)
    with pytest.raises(DatasetError, match=r"a\.txt is not UTF-8 .*save it again"):
        read_caption(tmp_path / "a.txt")


def test_file_that_cannot_be_a_caption_is_not_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x" * (MAX_CAPTION_BYTES + 1))
    with pytest.raises(DatasetError, match=r"a\.txt is larger than .* cannot be a caption"):
        read_caption(tmp_path / "a.txt")


def test_unreadable_caption_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"a\.txt cannot be read \(No such file"):
        read_caption(tmp_path / "a.txt")
