"""The arguments of `genlib generate`; what it draws is tested with genlib.models.generate."""
import argparse
import codecs
import os

import pytest

from genlib.__main__ import main
from genlib.commands import generate


@pytest.mark.parametrize("options, complaint", [
    (["--seeds", "5-2"], "'5-2' is no range of seeds"), (["--seeds", "x"], "'x' is no range of seeds"),
    (["--seeds", "-1"], "'-1' is no range of seeds"), (["--seeds", "7-"], "'7-' is no range of seeds"),
    (["--seeds", "0-1", "--batch", "0"], "at least 1"),
    (["--seeds", "0-1", "--prompts", "missing.txt"], "missing.txt cannot be read"),
    (["--seeds", "0-1", "--model", "gan"], "--model is 'gan': use one of "),
    (["--seeds", "0-1", "--truncation-psi", "nan"], "'nan' is no number"),
    (["--seeds", "0-1", "--truncation-psi", "x"], "'x' is no number"),
    (["--seeds", "0-1", "--guidance-scale", "inf"], "'inf' is no number")])
def test_a_wrong_option_is_one_sentence(capsys, tmp_path, options, complaint):
    with pytest.raises(SystemExit) as exit:
        main(["generate", "--model", "stylegan2", "--out", str(tmp_path / "out"), *options])
    assert exit.value.code == 2 and complaint in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("model, option, other", [("stylegan2", "--steps", "stable-diffusion"),
                                                  ("stylegan2", "--guidance-scale", "stable-diffusion"),
                                                  ("stable-diffusion", "--truncation-psi", "stylegan2"),
                                                  ("stable-diffusion", "--labels", "stylegan2")])
def test_an_option_of_the_other_model_is_refused(capsys, tmp_path, model, option, other):
    assert main(["generate", "--model", model, "--seeds", "0-1", "--out", str(tmp_path / "out"), option, "1"]) == 1
    assert f"{option} is given, but {model} takes none: leave it out, or use --model {other}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_prompts_are_refused_for_stylegan2_and_an_empty_file_anywhere(capsys, tmp_path):
    (tmp_path / "p.txt").write_text("a face\n")
    (tmp_path / "empty.txt").write_text("")
    call = ["generate", "--model", "stylegan2", "--seeds", "0-1", "--out", str(tmp_path / "out"), "--prompts"]
    assert main([*call, str(tmp_path / "p.txt")]) == 1
    assert "--prompts is given, but stylegan2 takes none" in capsys.readouterr().err and not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        main([*call, str(tmp_path / "empty.txt")])
    assert "is empty" in capsys.readouterr().err


@pytest.mark.parametrize("mark, encoding", [
    (b"", "utf-8"), (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_lines_of_prompts_are_those_that_an_editor_numbers(tmp_path, mark, encoding, end):
    prompts = ["обличчя", "", "a\u2028b\u2029c", "d\x0be\x0cf\x85g\x1ch", " ", "the last"]
    (tmp_path / "p.txt").write_bytes(mark + end.join(prompts).encode(encoding))
    assert generate.prompts(tmp_path / "p.txt") == prompts
    (tmp_path / "p.txt").write_bytes(mark + (end.join(prompts) + end).encode(encoding))
    assert generate.prompts(tmp_path / "p.txt") == prompts, "the end of the last line begins no further one"
    (tmp_path / "p.txt").write_bytes(mark + (end.join(prompts) + end + end).encode(encoding))
    assert generate.prompts(tmp_path / "p.txt") == [*prompts, ""]


@pytest.mark.parametrize("content, complaint", [
    ("a\nface".encode("utf-16-le"), "has a character NUL in line 1, so it is no text file in UTF-8"), (b"a\nb\0", "NUL in line 2"),
    ("обличчя".encode("cp1251"), "cannot be read .*: give a text file in UTF-8"), (codecs.BOM_UTF16_LE + b"a", "cannot be read"),
    (codecs.BOM_UTF8, "is empty"), (b"\r\n\r\n ", "is empty"), (b"a" * 2000, "and at most 0.0 MB are read")])
def test_a_file_that_is_no_list_of_prompts_is_refused(tmp_path, monkeypatch, content, complaint):
    monkeypatch.setattr(generate, "PROMPTS_BYTES", 1000)
    (tmp_path / "p.txt").write_bytes(content)
    with pytest.raises(argparse.ArgumentTypeError, match=complaint):
        generate.prompts(str(tmp_path / "p.txt"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes")
def test_prompts_may_lie_behind_a_link_and_are_no_folder_and_no_pipe(tmp_path):
    (tmp_path / "p.txt").write_text("a face\n")
    (tmp_path / "link").symlink_to("p.txt")
    assert generate.prompts(str(tmp_path / "link")) == ["a face"]
    os.mkfifo(tmp_path / "pipe")
    for name in "", "pipe":
        with pytest.raises(argparse.ArgumentTypeError, match="is no regular file"):
            generate.prompts(str(tmp_path / name))
