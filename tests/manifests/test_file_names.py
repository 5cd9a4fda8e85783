"""File names are valid everywhere, unique without regard to case, and short enough."""

import os
import unicodedata

import pytest

from manifests.file_names import MAX_PORTABLE_BYTES, UniqueNames, portable, with_suffix


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anna", "anna"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("CON", "_CON"),
        ("nul.tar", "_nul.tar"),
        ("com1 .x", "_com1 .x"),
        ("LPT\u00b9", "_LPT\u00b9"),
        ("console", "console"),
        ("com", "com"),
        ("name. . ", "name"),
        (" name", "name"),
        ('a<b>c:d"e|f?g*h', "a_b_c_d_e_f_g_h"),
        ("a/b\\c\x00\udce4", "a_b_c__"),
        (".", "_"),
        ("..", "_"),
        ("", "_"),
        (".hidden", ".hidden"),
    ],
)
def test_portable_names(name: str, expected: str) -> None:
    assert portable(name) == expected
    assert portable(expected) == expected


def test_portable_names_are_short_in_bytes() -> None:
    for name in ("x" * 300, "\u540d" * 100, "e\u0301" * 200, "\U0001f600" * 99):
        short = portable(name)
        assert MAX_PORTABLE_BYTES - 4 < len(short.encode()) <= MAX_PORTABLE_BYTES
        assert unicodedata.normalize("NFC", name).startswith(short)


def test_unique_names_differ_in_more_than_case_and_unicode_form() -> None:
    names = UniqueNames()
    given = [
        "Anna",
        "anna",
        "anna",
        "anna-2",
        "Stra\u00dfe",
        "STRASSE",
        "e\u0301",
        "\u00c9",
        "x/y",
        "x:y",
        "x" * 300,
        "x" * 301,
    ]
    unique = [names.add(name) for name in given]
    assert unique[:6] == ["Anna", "anna-2", "anna-3", "anna-2-2", "Stra\u00dfe", "STRASSE-2"]
    assert len({name.casefold() for name in unique}) == len(given)


def test_many_equal_names_are_numbered_in_order() -> None:
    names = UniqueNames()
    assert [names.add("face") for _ in range(2000)][-1] == "face-2000"


def test_a_suffix_fits_into_255_bytes() -> None:
    assert with_suffix("a.bmp", ".png") == "a.bmp.png"
    for name in ("x" * 251 + ".bmp", "\u540d" * 84 + ".gi"):
        long = with_suffix(name, ".png")
        assert 250 < len(os.fsencode(long)) <= 255
        assert long.endswith(".png")
        assert with_suffix("y" + name[1:], ".png")[:200] != long[:200]
    assert with_suffix("x" * 299 + "a", ".png") != with_suffix("x" * 299 + "b", ".png")
