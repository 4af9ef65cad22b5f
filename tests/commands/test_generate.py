"""The arguments of `genlib generate`; what it draws is tested with genlib.models.generate."""
import pytest

from genlib.__main__ import main


@pytest.mark.parametrize("options, complaint", [
    (["--seeds", "5-2"], "'5-2' is no range of seeds"), (["--seeds", "x"], "'x' is no range of seeds"),
    (["--seeds", "-1"], "'-1' is no range of seeds"), (["--seeds", "0-1", "--batch", "0"], "at least 1"),
    (["--seeds", "0-1", "--prompts", "missing.txt"], "missing.txt cannot be read"),
    (["--seeds", "0-1", "--model", "gan"], "invalid choice: 'gan'")])
def test_a_wrong_option_is_one_sentence(capsys, tmp_path, options, complaint):
    with pytest.raises(SystemExit) as exit:
        main(["generate", "--model", "stylegan2", "--out", str(tmp_path / "out"), *options])
    assert exit.value.code == 2 and complaint in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("model, option, other", [("stylegan2", "--steps", "stable-diffusion"),
                                                  ("stable-diffusion", "--truncation-psi", "stylegan2")])
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
