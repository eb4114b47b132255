"""Stages with a model import torch and transformers at once, without what they load in vain."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from critical_weights.files import read_json, write_json
from critical_weights.model.source import fetch_model
from critical_weights.plots import OF_ROWS, RUN_FIGURES, SCORE_FIGURES
from critical_weights.texts.calibration import calibrate
from tiny_models import SENTENCES, save_tiny_folder

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
HEAVY = re.compile(r"^(?:import|from) (?:torch|transformers)\b", re.MULTILINE)
IMPORTED = re.compile(r"^ +from (critical_weights[\w.]+) import", re.MULTILINE)


def told(program: str) -> dict:
    done = subprocess.run([sys.executable, "-c", program], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_nothing_is_loaded_in_vain_and_all_is_as_before():
    after = told(
        """
import gc, json, sys
from critical_weights.model.libraries import import_libraries
import_libraries()
import transformers
from transformers.models.llama import modeling_llama
kept = gc.get_freeze_count()
import_libraries()
print(json.dumps({
    "scipy": [name for name in sys.modules if name.split(".")[0] == "scipy"],
    "told": [transformers.utils.is_scipy_available(), transformers.utils.import_utils.is_scipy_available()],
    "collects": gc.isenabled(), "kept": kept, "again": gc.get_freeze_count(),
    "models": "transformers.models.auto.modeling_auto" in sys.modules,
}))
"""
    )
    assert after["scipy"] == []
    assert after["told"][0] == after["told"][1]
    assert after["collects"]
    assert after["kept"] == after["again"] > 100_000
    assert after["models"]


def first_heavy(text: str) -> int | None:
    """Return where a stage first imports torch, or a module of the library that does at its head."""
    text = text.replace("if TYPE_CHECKING:\n    import torch", "if TYPE_CHECKING:\n    import_torch")  # of equal length
    places = [found.start() for found in re.finditer(r"^ +import torch\b", text, re.MULTILINE)]
    for found in IMPORTED.finditer(text):
        module = SCRIPTS / (found[1].replace(".", "/") + ".py")
        if module.is_file() and HEAVY.search(module.read_text()):
            places.append(found.start())
    return min(places, default=None)


HEAVY_STAGES = [path.stem for path in sorted(SCRIPTS.glob("*.py")) if first_heavy(path.read_text()) is not None]


def test_there_are_such_stages():
    assert {"score", "validate", "spikes", "downstream", "describe_model", "plan"} <= set(HEAVY_STAGES)


@pytest.mark.parametrize("stage", HEAVY_STAGES)
def test_every_stage_with_a_model_imports_so(stage):
    text = (SCRIPTS / f"{stage}.py").read_text()
    called = text.find("    import_libraries()\n")
    assert 0 < called < (first_heavy(text) or len(text))


TOKENIZER_STAGES = ("calibrate", "evaluation_texts")


@pytest.mark.parametrize("stage", TOKENIZER_STAGES)
def test_stages_with_a_tokenizer_alone_do_without_torch(stage, tmp_path):
    """Torch is two thirds of the time of importing transformers, which can be without."""
    record, texts = tmp_path / "record.json", tmp_path / "texts.txt"
    write_json(record, fetch_model("tiny", "local", path=str(save_tiny_folder(tmp_path / "tiny"))))
    texts.write_text("\n".join(SENTENCES[4:]))
    tokens = calibrate(read_json(record), phase="p", texts="default", max_samples=3, max_length=12, seed=1)
    write_json(tmp_path / "tokens.json", tokens)
    given = {
        "calibrate": ["--phase=p", "--max-samples=3", "--max-length=12", "--seed=1", f"--output={tmp_path}/out.json"],
        "evaluation_texts": [f"--tokens={tmp_path}/tokens.json", f"--evaluation={texts}",
                             f"--calibration-out={tmp_path}/facts.json", f"--tokens-out={tmp_path}/out.json"],
    }[stage]  # fmt: skip
    program = f"""
import json, sys
sys.path.insert(0, {str(SCRIPTS)!r})
import {stage}
{stage}.main({stage}.parser().parse_args({[f"--record={record}", *given]!r}))
print(json.dumps(sorted({{name.split(".")[0] for name, module in sys.modules.items() if module}})))
"""
    loaded = told(program)
    assert "tokenizers" in loaded
    assert not {"torch", "scipy", "pandas"} & set(loaded)
    if stage == "calibrate":
        assert read_json(tmp_path / "out.json") == tokens, "a tokenizer reads alike with torch, as here, and without"


@pytest.mark.parametrize("figure", ["overlap_matrix", "sensitivity_heatmap"])
def test_drawing_imports_neither_scipy_nor_3d_nor_tex_and_says_nothing(figure):
    """Seaborn imports scipy, which takes longer than to draw the matrix; matplotlib its 3D axes."""
    loaded = told(f"""
import json, sys, warnings
warnings.simplefilter("error")
from critical_weights.plots import _module
from critical_weights.plots.library import import_matplotlib
import_matplotlib()
module = _module({figure!r})
if {figure!r} == "overlap_matrix":
    import pandas
    row = {{"a": "x", "b": "y", "share": 0.5, "complete": True}}
    module.draw_matrix(pandas.DataFrame([row]))
print(json.dumps([name for name, module in sys.modules.items() if module]))
""")
    assert not [name for name in loaded if name.split(".")[0] in ("scipy", "fontTools") or "mplot3d" in name]
    assert ("seaborn" in loaded) == (figure == "overlap_matrix")


def test_figures_of_few_rows_import_no_pandas():
    """It is a fifth of their job."""
    figures = [*OF_ROWS, *SCORE_FIGURES, *RUN_FIGURES]
    with_pandas = told(f"""
import json, sys
from critical_weights.plots import _module
from critical_weights.plots.library import import_matplotlib
import_matplotlib()
found = {{}}
for figure in {figures!r}:
    _module(figure)
    found[figure] = "pandas" in sys.modules
print(json.dumps(found))
""")
    assert with_pandas == dict.fromkeys(figures, False)


def test_a_package_is_missing_in_the_block_alone():
    assert told("""
import json, sys
from critical_weights.imports import without
found = []
with without("colorsys"):
    try:
        import colorsys
    except ImportError:
        found.append("missing")
import colorsys
found.append(colorsys.__name__)
with without("colorsys"):
    import colorsys
    found.append("kept")
print(json.dumps(found))
""") == ["missing", "colorsys", "kept"]


def test_a_module_is_read_when_something_in_it_is_first_asked_for_after_the_block():
    assert told("""
import json, sys
from critical_weights.imports import late
found = []
with late("wsgiref", "util"):
    import wsgiref.util
    kept = wsgiref
    found.append(hasattr(wsgiref.util, "FileWrapper"))
found.append("wsgiref" in sys.modules or "wsgiref.util" in sys.modules)
found.append(kept.util.FileWrapper.__module__)
found.append(hasattr(kept.util, "no such thing"))
import wsgiref.util
found.append(wsgiref.util.FileWrapper is kept.util.FileWrapper)
with late("wsgiref", "util"):
    import wsgiref.util
    found.append(hasattr(wsgiref.util, "FileWrapper"))
print(json.dumps(found))
""") == [False, False, "wsgiref.util", False, True, True]


def test_what_tex_writes_can_be_read_all_the_same():
    """By a user whose own figures are set by TeX: letters have their names."""
    assert (
        told("""
import json
from critical_weights.plots.library import import_matplotlib
import_matplotlib()
from matplotlib import dviread
print(json.dumps(dviread.fontTools.agl.toUnicode("alpha")))
""")
        == "\N{GREEK SMALL LETTER ALPHA}"
    )


SET = """
import json
{imported}
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
line, box = Line2D([0], [0]), Rectangle((0, 0), 1, 1)
found = [line.set(lw=3, color="red"), box.set(facecolor="blue")]
for artist in (line, box):
    try:
        artist.set(colour="red")
    except AttributeError as error:
        found.append(str(error))
print(json.dumps([str(artist) for artist in found] + [line.get_linewidth(), line.get_color(), box.get_facecolor()]))
"""


def test_artists_are_set_as_ever():
    mine = "from critical_weights.plots.library import import_matplotlib; import_matplotlib()"
    assert told(SET.format(imported=mine)) == told(SET.format(imported="import matplotlib.figure"))
