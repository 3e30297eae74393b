"""House rules that no linter knows."""

import ast
import re

import pytest
from imports import normalized_source

# A benchmark is an output: these would not run a second time.
WITHOUT_OUTPUT = ("clean", "plan")
FETCHED = ("fetch_weights", "fetch_archive")


def scripts(root):
    return sorted((root / "workflow/scripts").glob("*.py"))


def rules(root):
    """(name, text) of every rule that runs something."""
    for path in sorted((root / "workflow/rules").glob("*.smk")):
        for block in re.split(r"^(?=rule )", path.read_text(), flags=re.MULTILINE)[1:]:
            if "    script:" in block or "    shell:" in block or "    run:" in block:
                yield re.match(r"rule (\w+)", block).group(1), block


def test_a_script_redirects_its_output_before_it_imports_what_could_fail(root):
    for path in scripts(root):
        body = ast.parse(path.read_text()).body
        assert ast.unparse(body[1]) == "from halfseen.logs import log_to", path.name
        assert ast.unparse(body[2]) == "log_to(snakemake.log[0])", path.name


def test_a_script_is_short_and_defines_nothing(root):
    for path in scripts(root):
        text = path.read_text()
        assert len(text.splitlines()) <= 40, path.name
        defined = (ast.FunctionDef, ast.ClassDef, ast.Lambda)
        assert not any(isinstance(node, defined) for node in ast.walk(ast.parse(text))), path.name


def test_a_script_reads_params_and_never_the_config(root):
    assert [path.name for path in scripts(root) if "snakemake.config" in path.read_text()] == []


def test_a_rule_has_a_log_and_a_benchmark_and_no_lambda(root):
    for name, block in rules(root):
        assert "    log:" in block, name
        assert ("    benchmark:" in block) != (name in WITHOUT_OUTPUT), name
        assert "lambda" not in block, name


def test_a_rule_is_named_like_its_script_and_is_made_anew_by_its_code(root):
    """By the key in the names of its files, or else by a digest among its parameters."""
    # What is fetched is held to a hash, and make_report has no script.
    for name, block in rules(root):
        if name == "make_report":
            continue
        assert f'"../scripts/{name}.py"' in block, name
        is_keyed = "job=job(" in block
        has_digest = f'code=code("{name}.py")' in block
        assert is_keyed + has_digest == (name not in (*FETCHED, *WITHOUT_OUTPUT)), name


def test_no_rule_updates_a_file_or_ignores_its_time(root):
    for name, block in rules(root):
        assert not re.search(r"\b(update|ancient)\(", block), name


def test_every_script_has_its_rule(root):
    assert {path.stem for path in scripts(root)} == {name for name, _ in rules(root)} - {
        "make_report"
    }


def test_the_readme_names_the_test_command_that_ci_runs(root):
    command = "make test"
    assert f"\n{command}\n" in (root / "README.md").read_text()
    assert f"\n{command}\n" in (root / ".ci/run").read_text()


@pytest.mark.parametrize("word", ["snakemake", "results/"])
def test_the_package_does_not_know_snakemake_or_the_layout(root, word):
    for path in (root / "workflow/halfseen").rglob("*.py"):
        assert word not in normalized_source(path).lower(), path
