"""Pydantic's errors in one line that a person can act on."""

from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bcnet.files import shown
from bcnet.suggest import legal

LONGEST = 100  # letters of a key that is shown whole


def one_line(errors: ValidationError, root: type[BaseModel]) -> str:
    """The errors as one `key: value: what was expected`, an unknown key (with the legal ones) before all others.

    Args:
        errors: of validating against `root`.
        root: the model, whose mappings have fixed keys or names, and whose unions are told apart by one key.
    """
    error = min(errors.errors(), key=lambda e: e["type"] != "extra_forbidden")
    more = f" (and {errors.error_count() - 1} more)" if errors.error_count() > 1 else ""
    if not error["loc"] and error["type"] != "value_error":
        return f"{shown(error['input'])}: expected the keys {', '.join(root.model_fields)}{more}"
    location, kind = _in_file(error["loc"], root)
    parts = [str(part) for part in location if part != "[key]"]
    key = ".".join(part if part.isprintable() and len(part) <= LONGEST else shown(part) for part in parts)
    message = error["msg"].removeprefix("Value error, ")
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key{legal(parts[-1], kind.model_fields, 'legal here')}{more}"
        case "missing":
            return f"{key}: missing{more}"
        case "union_tag_not_found":
            return f"{key}.{error['ctx']['discriminator'].strip(chr(39))}: missing{more}"
        case "union_tag_invalid":
            context = error["ctx"]
            tag = f"{key}.{context['discriminator'].strip(chr(39))}: {shown(context['tag'])}"
            tags = context["expected_tags"].replace("'", "").split(", ")
            return f"{tag}{legal(context['tag'], tags, 'expected one of')}{more}"
        case "value_error":
            return f"{key}: {message}{more}" if key else message
    shown_input = shown(error["input"])
    return f"{key}: {shown_input}: {message[0].lower()}{message[1:]}{more}"


def _in_file(location: Sequence[int | str], root: type[BaseModel]) -> tuple[list[int | str], Any]:
    """A location as the file has it, and the model whose key its last part is or should be.

    Pydantic also names the members of unions there, which the file does not.
    """
    kind: Any = root
    model: Any = root
    parts: list[int | str] = []
    for part in location:
        if get_origin(kind) is Annotated and (member := _member(get_args(kind)[0], part)):
            kind = model = member
            continue
        parts.append(part)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            model = kind
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field else None
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            kind = None
    return parts, model


def _member(union: Any, tag: int | str) -> type[BaseModel] | None:
    """The member of a union one of whose keys has that value only."""
    for member in get_args(union):
        if any(get_args(field.annotation) == (tag,) for field in member.model_fields.values()):
            return member
    return None
