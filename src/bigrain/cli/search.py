"""bigrain search: ask a collection."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from bigrain.cli.options import Asking, State, collection_argument, common, memory_option
from bigrain.cli.output import console, note, plain_text, print_json
from bigrain.cli.vectors import named, query_vectors, read_terms, vocabulary_option

if TYPE_CHECKING:
    from bigrain import Collection, Hit

__all__ = ["language_of", "print_hits", "search"]

Asked: TypeAlias = "tuple[str | None, str | None, Mapping[str, Any]]"  # id, text, vectors by field
POSTINGS = ("lexical", "sparse")  # families without codes of single documents


@click.command(cls=Asking, short_help="Find the documents that answer a query.")
@collection_argument
@click.argument("query", required=False)
@click.option("--vector", "vectors", multiple=True, metavar="NAME=VECTOR",
              help="Ask this field with a vector, as JSON or in a file.")  # fmt: skip
@vocabulary_option
@click.option("-k", default=10, show_default=True, metavar="N", type=int, help="How many hits.")
@click.option("--field", "fields", multiple=True, metavar="NAME[=WEIGHT]",
              help="Ask only this field; may be given again.")  # fmt: skip
@click.option("--filter", "condition", metavar="CONDITION", help="A condition on metadata.")
@click.option("--recall", type=float, metavar="SHARE",
              help="Share of the true best hits wanted, such as 0.98; 1 looks at all.")  # fmt: skip
@click.option("--operators", is_flag=True,
              help='Signs in QUERY are operators: "a phrase" +must -not word^2 begin* nearly~ '
                   "title:word.")  # fmt: skip
@click.option("--feedback", type=click.Choice(["rm3", "rocchio", "average"]), metavar="METHOD",
              help="rm3, rocchio or average: the best documents change the query.")  # fmt: skip
@click.option("--explain", is_flag=True, help="Show how each score came about.")
@click.option("--heat-map", "picture", metavar="FILE",
              type=click.Path(dir_okay=False, path_type=Path),
              help="Draw which token vectors of QUERY and of the first hit meet; needs the extra "
                   "eval.")  # fmt: skip
@memory_option
@common
def search(
    state: State,
    path: Path,
    query: str | None,
    vectors: tuple[str, ...],
    vocabulary: Path | None,
    k: int,
    fields: tuple[str, ...],
    condition: str | None,
    recall: float | None,
    operators: bool,
    feedback: str | None,
    explain: bool,
    picture: Path | None,
    memory: int | None,
) -> None:
    """Find the documents that answer QUERY best, with the passage that answers.

    With - as QUERY, queries come from standard input: one a line, or JSON lines with "_id" and
    "text"; --json then prints one line for each. A QUERY that begins with - needs a blank in it,
    or -- before it.

    With --vector fields without an encoder are asked too, together with QUERY or without one.
    VECTOR is {"7": 1.5} or [0.1, 0.7], a .json file with such a vector, or a file as for bigrain
    add-vectors; without QUERY each vector of that is a query.

    \b
    Examples:
      bigrain search docs.grain "how do plants store energy?"
      bigrain search docs.grain "solar cells" -k 3 --filter "year >= 2020 AND lang = 'en'"
      bigrain search docs.grain "BM25" --field lexical --explain
      bigrain search docs.grain "solar cells" --field multivector --heat-map heat.png
      bigrain search docs.grain --operators '+grain "heavy water" -moon silo*'
      bigrain search docs.grain --operators -- "-moon water"
      bigrain search docs.grain - --json < queries.jsonl > hits.jsonl
      bigrain search docs.grain "heavy water" --vector 'splade={"7": 1.5, "9": 0.5}'
      bigrain search docs.grain --vector splade=queries.jsonl --vocabulary vocab.txt --json
    """
    import bigrain

    weights = _weights(fields)
    terms = read_terms(vocabulary)
    brought = query_vectors(named(vectors, "--vector"), terms) if vectors else []
    many = query == "-" or len(brought) > 1
    if query is None and not brought:
        raise click.UsageError("nothing to ask: give QUERY, or --vector NAME=VECTOR")
    if many and picture is not None:
        raise click.UsageError("--heat-map draws one query; ask it alone")
    if query is not None and len(brought) > 1:
        raise click.UsageError(f"one QUERY, but {len(brought):,} vectors; leave QUERY out")
    asked: Iterable[Asked] = [(None, query, vector) for _, vector in brought] or [(None, query, {})]
    if query == "-":
        asked = ((i, text, brought[0][1] if brought else {}) for i, text in _from_stdin())
    elif query is None:
        asked = [(identifier, None, vector) for identifier, vector in brought]
    if picture is not None:
        from bigrain.evaluation.plot import require_drawable

        require_drawable(picture)
    with bigrain.open(path, read_only=True, memory_budget_bytes=memory) as col:
        tokens = None if picture is None else _field_of_tokens(col, weights)
        language = language_of(col)
        for at, (identifier, text, by_field) in enumerate(asked):
            said = bigrain.Query(text) if operators and text is not None else text
            whole = _query(col, said, by_field, weights)
            try:
                hits = col.search(
                    whole, k, fields=weights, filter=condition,
                    recall=recall, explain=explain, feedback=feedback,
                )  # fmt: skip
            except bigrain.InvalidQueryError as error:
                if not many:
                    raise
                whose = "" if identifier is None else f" ({identifier})"
                raise bigrain.InvalidQueryError(f"question {at + 1}{whose}: {error}") from None
            if picture is not None and tokens is not None and hits:
                own = whole[tokens] if isinstance(whole, dict) else whole
                asked_tokens = own.plain if isinstance(own, bigrain.Query) else own
                col.heat_map(asked_tokens, hits[0].id, tokens).plot(picture)
                note(f"{picture} shows the tokens of {hits[0].id}", state)
            if state.as_json:
                name = {} if identifier is None else {"_id": identifier}
                answer = {**name, "query": text, "hits": [_hit_dict(hit) for hit in hits]}
                print_json(answer, indent=None if many else 1)
                continue
            if many:
                head = text if text is not None else identifier
                click.echo(("\n" if at else "") + f"# {plain_text(head or '')}")
            families = {name: field.family for name, field in col.fields.items()}
            shown = said.plain if isinstance(said, bigrain.Query) else text or ""
            print_hits(hits, shown, language, families=families if explain else None, terms=terms)


def _query(col: Collection, said: Any, vectors: Mapping[str, Any], weights: Any) -> Any:
    """The text, or what each field is asked with where there are vectors too."""
    if not vectors:
        return said
    if weights is not None and (left := [name for name in vectors if name not in weights]):
        raise click.BadParameter(
            f"{left[0]!r} has a --vector, so name it too", param_hint="--field"
        )
    reading = [name for name, field in col.fields.items() if field.reads_text]
    texts = {name: said for name in reading if weights is None or name in weights}
    return {**(texts if said is not None else {}), **vectors}


def _field_of_tokens(col: Collection, weights: Any) -> str:
    """The multi-vector field among those that are asked."""
    found = [
        name
        for name, field in col.fields.items()
        if field.family == "multivector" and (weights is None or name in weights)
    ]
    if len(found) != 1:
        raise click.UsageError(
            f"--heat-map draws one multi-vector field, and {' and '.join(found) or 'none'} "
            "would be asked; name one with --field"
        )
    return found[0]


def language_of(col: Collection) -> str | None:
    """The language of the collection's words, if it has a lexical field."""
    spoken = [getattr(field, "language", None) for field in col.fields.values()]
    return next((language for language in spoken if language), None)


def print_hits(
    hits: Sequence[Hit],
    query: str,
    language: str | None,
    *,
    families: Mapping[str, str] | None = None,
    terms: Sequence[str] | None = None,
) -> None:
    """Hits with snippets, the query's words marked; with the fields' `families`, explained.

    `terms` are those of the columns of sparse vectors.
    """
    from rich.text import Text

    from bigrain.cli.snippets import Snippets

    out = console()
    if not hits:
        out.print("nothing found")
        return
    snippets = Snippets(query, language)
    for hit in hits:
        name = plain_text(hit.title) or hit.id
        head = Text.assemble(
            (f"{hit.rank:>2}. ", "dim"), (name, "bold cyan"), (f"  {hit.score:.4f}", "green")
        )
        if name != hit.id:
            head.append(f"  {plain_text(hit.id)}", "dim")
        out.print(head)
        stretch, spans = snippets.of(hit)
        body = Text(stretch)
        for start, end in spans:
            body.stylize("bold yellow", start, end)
        _print_indented(body)
        if hit.metadata:
            shown = ", ".join(f"{key}: {_short(value)}" for key, value in hit.metadata.items())
            _print_indented(Text(plain_text(shown)[:400], "dim"))
        if families is not None:
            for line in _explained(hit, families, terms or ()):
                _print_indented(Text(plain_text(line), "magenta"))


def _print_indented(text: Any) -> None:
    from rich.padding import Padding

    out = console()
    if out.is_terminal:
        out.print(Padding(text, (0, 0, 0, 4)))
    else:
        click.echo(f"    {text.plain}")


def _explained(hit: Hit, families: Mapping[str, str], names: Sequence[str]) -> Iterator[str]:
    for name, told in (hit.explanation or {}).items():
        light = told.get("light_estimate")
        said = "its lists of postings" if families[name] in POSTINGS else "its code in memory"
        said = "its index" if families[name] == "substring" else said
        estimate = "not among its candidates" if light is None else f"{said} said {light:.4g}"
        yield (
            f"{name} adds {told['contribution']:.4f}: exact score {told['exact_score']:.4g}, "
            f"{estimate}"
        )
        terms = dict(told.get("terms", {}))
        for column, value in told.get("columns", {}).items():
            terms[names[column] if column < len(names) else f"column {column}"] = value
        if terms:
            ranked = sorted(terms.items(), key=lambda item: -item[1])[:8]
            yield "  " + ", ".join(f"{term} {value:.3g}" for term, value in ranked)
        if words := told.get("words"):
            met = (f"{mine} met {theirs} {value:.3g}" for mine, theirs, value in words[:8])
            yield "  " + ", ".join(met)
        if span := told.get("best_span"):
            yield f'  best sentence (scores {span["score"]:.4g}): "{_cut(span["text"])}"'
        for phrase in told.get("phrases", ()):
            yield f'  says "{phrase}"'
        for begin, words in told.get("expanded", {}).items():
            more = f" and {len(words) - 8} more" if len(words) > 8 else ""
            yield f"  {begin} stands for {', '.join(words[:8]) or 'nothing'}{more}"
        for ngram, of in list(told.get("ngrams", {}).items())[:8]:
            times = "once" if of["count"] == 1 else f"{of['count']:,} times"
            yield f"  {ngram} {of['contribution']:.3g} ({times} in all)"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _cut(text, 80)


def _cut(text: str, most: int = 240) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _hit_dict(hit: Hit) -> dict[str, Any]:
    told: dict[str, Any] = {
        "rank": hit.rank,
        "id": hit.id,
        "score": hit.score,
        "title": hit.title,
        "text": hit.text,
        "metadata": hit.metadata,
        "parts": {
            name: {
                "contribution": float(part),
                "exact_score": part.heavy,
                "light_estimate": part.light,
                "weight": part.weight,
            }
            for name, part in hit.parts.items()
        },
    }
    if hit.passage is not None:
        told["passage"] = {"start": hit.passage.start, "end": hit.passage.end}
    if hit.explanation is not None:
        told["explanation"] = hit.explanation
    return told


def _weights(fields: Sequence[str]) -> dict[str, float] | list[str] | None:
    """`--field a --field b=2` as names, or as weights where any is given."""
    if not fields:
        return None
    if all(field and "=" not in field for field in fields):
        return list(fields)
    weights = {}
    for field in fields:
        name, _, weight = field.partition("=")
        try:
            if not name:
                raise ValueError
            weights[name] = float(weight) if weight else 1.0
        except ValueError:
            raise click.UsageError(
                f"--field {field!r} is not NAME or NAME=WEIGHT, such as --field "
                f"{name or 'lexical'}=0.5"
            ) from None
    return weights


def _from_stdin() -> Iterator[tuple[str | None, str]]:
    from bigrain import InvalidQueryError
    from bigrain.text.rows import parse_json
    from bigrain.text.sources import DEFAULT_MAX_BYTES, stream_lines

    for number, line in stream_lines(sys.stdin.buffer, "standard input", DEFAULT_MAX_BYTES):
        text = line.strip()
        if not text:
            continue
        if not text.startswith("{"):
            yield None, text
            continue
        where = f"standard input, line {number}"
        row = parse_json(text, where)
        if not isinstance(row.get("text"), str):
            raise InvalidQueryError(f'{where}: expected a query, or {{"_id": ..., "text": "..."}}')
        yield str(row.get("_id", row.get("id", number))), row["text"]
