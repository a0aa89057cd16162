"""Pydantic's errors in one line that a person can act on."""

from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError


def one_line(errors: ValidationError, root: type[BaseModel]) -> str:
    """The errors as one `key: value: what was expected`, an unknown key (with the legal ones) before all others.

    Args:
        errors: of validating against `root`.
        root: the model, whose mappings have fixed keys or names, and whose unions are told apart by `source`.
    """
    error = min(errors.errors(), key=lambda e: e["type"] != "extra_forbidden")
    more = f" (and {errors.error_count() - 1} more)" if errors.error_count() > 1 else ""
    location = list(error["loc"])
    legal = _legal_keys(location[:-1], root) if error["type"] == "extra_forbidden" else []
    if location[:1] == ["datasets"] and len(location) > 2:
        del location[2]  # pydantic names the member of the union there, the file does not
    parts = [str(part) for part in location if part != "[key]"]
    key = ".".join(part if part.isprintable() else repr(part) for part in parts)  # one may hold a new line
    message = error["msg"].removeprefix("Value error, ")
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key, legal here: {', '.join(legal)}{more}"
        case "missing":
            return f"{key}: missing{more}"
        case "value_error":
            return f"{key}: {message}{more}" if key else message
    return f"{key}: {error['input']!r}: {message[0].lower()}{message[1:]}{more}"


def _legal_keys(location: list[int | str], root: type[BaseModel]) -> list[str]:
    """The keys that the mapping at `location` may have."""
    kind: Any = root
    for part in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:  # the member of the union whose `source` is this part
            members = get_args(get_args(kind)[0])
            kind = next(m for m in members if part in get_args(m.model_fields["source"].annotation))
    return list(kind.model_fields)
