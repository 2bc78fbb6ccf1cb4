"""The JSON schemas of catalogue files, and the refusal of what they do not allow. [zone: none, configuration]"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from pilots.catalogue.yaml_lines import Document, FieldPath

SCHEMAS = Path(__file__).with_name("schema")


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def check_schema(document: Document, schema: str) -> None:
    """The document has the form of `schema`. Raises CatalogueError for the first field (by line) that has not."""
    errors = [(document.line(_place(error)), error) for error in _validator(schema).iter_errors(document.data)]
    if errors:
        _, error = min(errors, key=lambda pair: pair[0])
        raise document.error(_sentence(error), *_place(error))


def _place(error: ValidationError) -> FieldPath:
    """The field an error is about; a key that should not be there is named itself."""
    path: FieldPath = tuple(error.absolute_path)
    unknown = _unknown_keys(error)
    return (*path, unknown[0]) if unknown else path


def _unknown_keys(error: ValidationError) -> list[str]:
    if error.validator != "additionalProperties" or not isinstance(error.instance, dict):
        return []
    known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
    return [key for key in error.instance if key not in known]


def _sentence(error: ValidationError) -> str:
    if _unknown_keys(error):
        return "this field is not known here"
    if error.validator == "pattern":
        return f"{error.instance!r} does not fit {error.validator_value}"
    if error.validator == "enum":
        return f"{error.instance!r} is none of {', '.join(map(str, cast('list[object]', error.validator_value)))}"
    return error.message if len(error.message) <= 200 else f"{error.message[:200]}..."
