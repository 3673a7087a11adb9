"""The command line `bigrain`; every command has its Python twin on `Collection`.

    program     the group `main`: errors into messages and exit codes, warnings into notes
    options     what several commands take: --json, --quiet, --memory, sizes
    output      what they print with: tables, human numbers, JSON, notes, progress
    sources     documents for `index` and `add`
    vectors     vectors by field, for `index`, `add-vectors` and `search`
    snippets    the stretch of a text that answers, its words marked
    <command>   one file each

A command imports what it works with when it is called, so that help and completion are quick.
"""

from bigrain.cli.add import add
from bigrain.cli.add_vectors import add_vectors
from bigrain.cli.audit import audit
from bigrain.cli.backup import backup
from bigrain.cli.bench import bench
from bigrain.cli.compact import compact
from bigrain.cli.count import count
from bigrain.cli.delete import delete
from bigrain.cli.demo import demo
from bigrain.cli.eval import evaluate
from bigrain.cli.index import index
from bigrain.cli.learn import learn
from bigrain.cli.learn_encoder import learn_encoder
from bigrain.cli.program import main
from bigrain.cli.rebind import rebind
from bigrain.cli.repair import repair
from bigrain.cli.search import search
from bigrain.cli.stats import stats
from bigrain.cli.tune import tune
from bigrain.cli.verify import verify

__all__ = ["main"]

for _command in (
    index,
    add,
    add_vectors,
    delete,
    search,
    count,
    evaluate,
    stats,
    audit,
    tune,
    learn,
    learn_encoder,
    verify,
    repair,
    compact,
    rebind,
    backup,
    bench,
    demo,
):
    main.add_command(_command)
