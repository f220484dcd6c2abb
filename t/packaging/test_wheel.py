"""The wheel contains the package and nothing else."""

import email
import subprocess
import sys
import zipfile

from support.program import ROOT

from tatsumaki_py import __version__

STATIC = ROOT / "tatsumaki_py/static"
SHIPPED = [*ROOT.glob("tatsumaki_py/**/*.py"), *STATIC.glob("*.js"), *STATIC.glob("*.ts")]
DIST_INFO = f"tatsumaki_py-{__version__}.dist-info/"


def test_content(wheel):
    """The wheel contains every Python and JavaScript module with their types, and the metadata."""
    names = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in names if name.startswith(DIST_INFO)}
    expected = {str(path.relative_to(ROOT)) for path in SHIPPED} | {"tatsumaki_py/py.typed"}
    assert names - metadata == expected
    assert {name.split("/", 1)[1] for name in metadata} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "top_level.txt",
    }


def test_metadata(wheel):
    """The metadata name the required Python and Tornado, and no other required package."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = email.message_from_bytes(archive.read(f"{DIST_INFO}METADATA"))
    assert metadata["Name"] == "tatsumaki_py"
    assert metadata["Requires-Python"] == ">=3.11"
    required = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert required == ["tornado<7,>=6.6"]
    assert metadata.get_payload() == (ROOT / "README.md").read_text()


def test_runs_from_the_wheel(wheel, tmp_path):
    """Every module can be imported from the wheel."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = """
import pkgutil, sys
sys.path.insert(0, sys.argv[1])
import tatsumaki_py
assert tatsumaki_py.__file__.startswith(sys.argv[1]), tatsumaki_py.__file__
for module in pkgutil.walk_packages(tatsumaki_py.__path__, "tatsumaki_py."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
"""
    subprocess.run([sys.executable, "-I", "-c", code, tmp_path], check=True)
