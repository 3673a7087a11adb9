"""No byte of a collection is read or written but through `Files`.

A child process runs every kind of operation under an audit hook, which Python calls for each file
that is opened, listed, made, renamed or removed, whoever asks. SQLite's own files are behind
`Files.connect`; whether a path is there is asked past the seam too, but nothing is read.
"""

import json
import subprocess
import sys
from pathlib import Path

ALLOWED = {
    # What stands where a new collection is to be; an empty folder makes way.
    ("collection", "create", "os.listdir"),
    ("collection", "create", "os.scandir"),
    ("collection", "create", "os.rmdir"),
    # The catalogue's size, for people to look at.
    ("statistics", "stats_of", "os.scandir"),
    ("statistics", "stats_of", "pathlib.Path.glob"),
    ("statistics", "<genexpr>", "os.scandir"),
    ("statistics", "<genexpr>", "pathlib.Path.glob"),
}

CHILD = """
import json, os, sys, warnings
root, package = sys.argv[1], sys.argv[2]
seam = os.path.join(package, "storage", "files.py")
through, beside = set(), set()

def note(event, arguments):
    paths = [os.fsdecode(a) for a in arguments if isinstance(a, (str, bytes, os.PathLike))]
    if not any(root in path for path in paths):
        return
    frame, nearest = sys._getframe(1), None
    while frame is not None:
        code = frame.f_code
        if code.co_filename == seam:
            through.add(event)
            return
        if nearest is None and code.co_filename.startswith(package):
            module = os.path.relpath(code.co_filename, package)[:-3].replace(os.sep, ".")
            nearest = (module, code.co_name, event)
        frame = frame.f_back
    if nearest is not None:
        beside.add(nearest)

import bigrain
from tests.collection import making
sys.addaudithook(note)

from pathlib import Path
path = Path(root) / "docs.grain"
path.mkdir()
col, model = making.make(path, files=bigrain.storage.files.Disk())
for i in range(9):
    making.fill(col, model, [f"a{i}", "again"], seed=i)
    making.commit(col, model)
col.delete("again")
col.commit()
making.give_vectors(col, model, "vec", ["a1"], __import__("numpy").random.default_rng(0))
col.rollback()
reader = bigrain.open(path, read_only=True)
col.compact()
for field in col.fields:
    query = "grain" if col.fields[field].reads_text else list(model.rows(field).values())[0]
    assert reader.search(query, fields=[field], k=3) or field == "sub"
reader.search("grain", filter="year > 2000", fields=["lex"])
assert reader.occurrences("grain").total
reader.refresh()
assert reader.get(["a1"]) and list(reader.documents()) and reader.stats()
assert reader.verify().ok
reader.close()
col.close()
try:
    bigrain.create(path)
except bigrain.CollectionExistsError:
    pass
print(json.dumps({"through": sorted(through), "beside": sorted(beside)}))
"""


def test_no_file_is_touched_past_the_seam(tmp_path: Path) -> None:
    import bigrain

    package = Path(bigrain.__file__).parent
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), str(package)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": f"{package.parent}:.", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    beside = {tuple(access) for access in told["beside"]}
    assert beside <= ALLOWED
    assert ("collection", "create", "os.rmdir") in beside, "the hook sees nothing past the seam"
    assert {"open", "os.listdir", "os.mkdir", "os.remove", "os.rename", "sqlite3.connect"} <= set(
        told["through"]
    ), "the hook has lost sight of the disk"
