import os

import pytest

from lora_widgets.data.listing import list_alone, list_folder, list_tree
from lora_widgets.errors import DatasetError


@pytest.fixture
def make(tmp_path):
    """Make empty files and the folders around them."""

    def make_files(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make_files


def below(tree):
    root = tree.listings[0].folder
    return [listing.folder.relative_to(root).as_posix() for listing in tree.listings]


def test_entries_are_sorted_by_kind_and_name(make):
    folder = make("b.png", "a.JPG", "a.txt", "note.md", "x.gif", "deep/c.png", ".hidden/d.png", "._a.JPG")
    (folder / "link").symlink_to(folder / "deep")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    found = list_folder(folder)
    assert found.pictures == ("a.JPG", "b.png")
    assert found.files == {"a.txt", "note.md"}
    assert found.folders == ("deep", "link")
    assert found.links == {"link"}
    assert {skipped.path.name: skipped.reason for skipped in found.skipped} == {
        "gone.png": "it is not a regular file (a broken link?); delete it or copy the picture itself",
        "x.gif": ".gif pictures are not read; convert it to PNG or JPEG",
    }


def test_names_outside_ascii_are_names_like_any_other(make):
    folder = make("🐈 猫.png", "ü.png", "🐈 猫.txt")
    assert set(list_folder(folder).pictures) == {"🐈 猫.png", "ü.png"}


def test_folder_with_the_name_of_a_picture_is_a_folder(make):
    found = list_folder(make("odd.png/a.png"))
    assert found.pictures == ()
    assert found.folders == ("odd.png",)


def test_link_to_itself_is_named(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (skipped,) = list_folder(tmp_path).skipped
    assert skipped.path.name == "loop"
    assert "cannot be followed" in skipped.reason


def test_alone_looks_no_deeper(make):
    tree = list_alone(make("a.png", "deep/b.png"))
    assert below(tree) == ["."]
    assert tree.num_pictures == 1


def test_tree_is_sorted_by_name(make):
    tree = list_tree(make("b/z.png", "b/a/y.png", "a/x.png", "top.png"), set())
    assert below(tree) == [".", "a", "b", "b/a"]
    assert tree.num_pictures == 4


def test_links_in_a_circle_end_and_each_real_folder_is_taken_once(make):
    folder = make("a/x.png", "b/y.png")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "side").symlink_to(folder / "b")
    tree = list_tree(folder, set())
    assert below(tree) == [".", "a", "b"]
    assert [path.relative_to(folder).as_posix() for path in tree.repeated] == ["a/side", "a/up"]


def test_link_to_elsewhere_is_followed_once(make):
    folder = make("set/x.png", "elsewhere/y.png")
    for name in ("one", "two"):
        (folder / "set" / name).symlink_to(folder / "elsewhere")
    tree = list_tree(folder / "set", set())
    assert below(tree) == [".", "one"]
    assert [path.name for path in tree.repeated] == ["two"]


def test_unreadable_folder_costs_only_itself(make, deny):
    folder = make("a/x.png", "b/y.png")
    deny(folder / "b")
    tree = list_tree(folder, set())
    assert below(tree) == [".", "a"]
    assert [skipped.path.name for skipped in tree.unreadable] == ["b"]
    assert "cannot be listed (Permission denied); check its permissions" in tree.unreadable[0].reason
    with pytest.raises(DatasetError, match="cannot be listed"):
        list_tree(folder / "b", set())


def test_names_that_are_no_text_are_named_without_the_bytes_that_nothing_can_show(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.png")).touch()
    found = list_folder(tmp_path)
    assert found.pictures == ()
    assert [(skipped.path.name, skipped.reason) for skipped in found.skipped] == [
        ("caf?.png", "its name is not valid text (UTF-8); rename it")
    ]
