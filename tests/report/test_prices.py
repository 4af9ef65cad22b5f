"""A file of prices, which a stranger may have made."""
import re

import pytest

from genlib.report import prices

HEAD = "device,price_per_hour\n"


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "prices.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return prices.read(tmp_path / "prices.csv")

    return read


def test_the_longest_part_of_a_devices_name_has_its_price(read):
    found = read(HEAD + "Tesla  T4,0.35\nH100,2.5\nnvidia h100 80gb,3\n\n")
    devices = "Tesla T4", "NVIDIA H100 PCIe", "NVIDIA H100 80GB HBM3", "AMD EPYC"
    assert [prices.name_of(found, device) for device in devices] == ["tesla t4", "h100", "nvidia h100 80gb", None]
    assert list(found.values()) == [0.35, 2.5, 3]


@pytest.mark.parametrize("name, device", [("A10", "NVIDIA A100-SXM4-40GB"), ("L4", "NVIDIA L40S"), ("100", "NVIDIA H100 PCIe")])
def test_a_card_has_no_price_of_another_whose_name_its_own_begins_or_ends_with(read, name, device):
    found = read(f"{HEAD}{name},1\n")
    assert prices.name_of(found, device) is None and prices.name_of(found, f"NVIDIA {name}-24Q") == name.lower()


@pytest.mark.parametrize("text", [
    "device;price_per_hour\nT4;0,35\n", "\ufeffDevice,Price_per_hour\r\nT4,0.35\r\n", 'note,price_per_hour,device\n"a, b",0.35,"T4"\n'])
def test_files_that_spreadsheets_save_are_read(read, text):
    assert read(text) == {"t4": 0.35}


@pytest.mark.parametrize("text, complaint", [
    ("", "it has no column 'device'"), ("device,price\nT4,1\n", "it has no column 'price_per_hour'"), (b"\x00\xff", "it has no column"),
    (HEAD + "T4,cheap\n", "line 2 has 'cheap' as a price"), (HEAD + "T4\n", "line 2 has '' as a price"),
    (HEAD + "T4,-1\n", "line 2 has '-1' as"), (HEAD + "T4,nan\n", "line 2 has 'nan' as"), (HEAD + "T4,1e999\n", "line 2 has '1e999' as"),
    (HEAD + ",1\n", "line 2 names no device:"), (HEAD + "T4,1\nt4,2\n", "line 3 names t4 again"),
    (HEAD + '"T4,1\n', "unexpected end of data"), (HEAD + "T4,\x1b[2J\n", re.escape("line 2 has '\\\\x1b[2J' as"))],
    ids=["nothing", "no price", "bytes", "a word", "cut off", "negative", "nan", "endless", "no device", "twice", "no end", "escape"])
def test_a_file_of_something_else_is_refused_in_a_sentence_that_names_it_and_the_line(read, text, complaint):
    with pytest.raises(ValueError, match=r"prices\.csv: .*" + complaint):
        read(text)


def test_a_file_that_is_not_there_or_too_large_is_refused(read, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        prices.read(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match=r"prices\.csv"):
        read(HEAD + "T4,1\n" * 30_000)
