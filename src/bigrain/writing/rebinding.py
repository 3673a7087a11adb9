"""Fields given their encoder under another name or in another folder; the encoder is the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bigrain.config import Field, field_from_dict
from bigrain.encoders.base import check_fingerprint
from bigrain.errors import EncoderMismatchError, InvalidInputError, UnknownFieldError, shown
from bigrain.registry import encoder_families, make_encoder
from bigrain.storage.catalogue import Catalogue
from bigrain.storage.folder import Folder

__all__ = ["rebind_fields"]

CACHE_BYTES = 4 << 20


def rebind_fields(folder: Folder, encoder: str, names: Sequence[str] | None) -> tuple[str, ...]:
    """What `bigrain.rebind` promises; the fields changed, in one commit."""
    folder.require()
    lock = folder.lock_for_writing()
    try:
        catalogue = Catalogue(folder.files, folder.path, cache_bytes=CACHE_BYTES)
        try:
            catalogue.check_format()
            _, fields = catalogue.definition()
            wanted = _wanted(fields, encoder, names)
            changed = {n: spec for n, spec in wanted.items() if spec.to_dict() != fields[n][0]}
            if changed:
                number, _ = catalogue.snapshot()
                catalogue.begin_writing()
                try:
                    for name, spec in changed.items():
                        catalogue.redefine_field(name, spec.to_dict())
                    next_docno = catalogue.next_docno()
                    catalogue.commit(number + 1, next_docno=next_docno, documents_delta=0)
                finally:
                    catalogue.end_writing()
            return tuple(wanted)
        finally:
            catalogue.close()
    finally:
        lock.release()


def _wanted(
    fields: dict[str, tuple[dict[str, Any], dict[str, Any]]],
    encoder: str,
    names: Sequence[str] | None,
) -> dict[str, Field]:
    """The fields to change, with their new definitions; those that the encoder made."""
    able = {name: told for name, (told, _) in fields.items() if told.get("encoder")}
    if not able:
        raise InvalidInputError("no field of this collection has an encoder")
    for name in names or ():
        if name not in able:
            raise UnknownFieldError(
                f"no field {shown(name)} with an encoder in this collection; there are "
                f"{', '.join(able)}"
            )
    given = encoder_families(encoder)
    found: dict[str, Field] = {}
    mismatch: EncoderMismatchError | None = None
    for name in names or able:
        spec = field_from_dict(able[name])
        if spec.family not in given and names is None:
            continue
        try:
            fingerprint = make_encoder(encoder, spec.family).fingerprint()
            check_fingerprint(name, fields[name][1], fingerprint)
        except EncoderMismatchError as error:
            if names is not None:
                raise
            mismatch = mismatch or error
            continue
        found[name] = field_from_dict({**able[name], "encoder": encoder})
    if not found:
        raise mismatch or EncoderMismatchError(
            f"encoder {encoder!r} gives {', '.join(given)}, and no field here is of that family"
        )
    return found
