"""The tools for developers: the pre-commit hook, and the coverage report."""

import re
import subprocess
import tomllib

import yaml

from ..running import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_hook_runs_a_target_of_make_and_downloads_nothing():
    path = ROOT / ".pre-commit-config.yaml"
    command = [ROOT / ".venv" / "bin" / "pre-commit", "validate-config", path]
    assert subprocess.run(command, cwd=ROOT).returncode == 0
    for repository in yaml.safe_load(path.read_text())["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            target = hook["entry"].removeprefix("make ")
            assert re.search(rf"^{target}:", MAKEFILE, re.M), hook["entry"]


def test_coverage_counts_branches_in_all_processes():
    run = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["run"]
    assert run["branch"]
    assert run["source"] == ["chat"]
    assert set(run["patch"]) >= {"subprocess", "fork", "_exit"}
    assert "coverage run -m pytest" in MAKEFILE
