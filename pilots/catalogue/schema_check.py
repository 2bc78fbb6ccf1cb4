"""The JSON schemas of catalogue files, and the refusal of what they do not allow. [zone: none, configuration]"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from pilots.catalogue.yaml_lines import Document, FieldPath, field_name
from pilots.domain.errors import CatalogueError
from pilots.domain.topology import Protocol

SCHEMAS = Path(__file__).with_name("schema")

#: The form of a point's address by protocol: a definition of profile.json.
_ADDRESS_FORMS = {
    Protocol.MODBUS_TCP: "modbus",
    Protocol.MODBUS_RTU: "modbus",
    Protocol.IEC104: "iec60870",
    Protocol.IEC101: "iec60870",
    Protocol.IEC61850: "iec61850",
    Protocol.OCPP16: "ocpp16",
    Protocol.PUSH: "push",
}


@cache
def schema_of(name: str) -> dict[str, Any]:
    """The schema of that name, as data."""
    return cast("dict[str, Any]", json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8")))


@cache
def _validator(name: str) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema_of(name))
    return Draft202012Validator(schema_of(name))


@cache
def _address_validator(protocol: Protocol) -> Draft202012Validator:
    forms = schema_of("profile")["$defs"]
    return Draft202012Validator({"$ref": f"#/$defs/{_ADDRESS_FORMS[protocol]}", "$defs": forms})


def check_schema(document: Document, schema: str) -> None:
    """The document has the form of `schema`. Raises CatalogueError for the first field (by line) that has not."""
    errors = schema_errors(document, schema)
    if errors:
        raise errors[0]


def schema_errors(document: Document, schema: str) -> list[CatalogueError]:
    """Everything in the document that has not the form of `schema`, by line."""
    found = [fault for error in _validator(schema).iter_errors(document.data) for fault in _faults(error)]
    return sorted((document.error(words, *path) for path, words in found), key=lambda error: error.line or 0)


def address_errors(address: Mapping[str, Any], protocol: Protocol) -> list[CatalogueError]:
    """What a point's address has that a profile of this protocol would not allow; `field` is the part, as `address.register`."""
    found = [fault for error in _address_validator(protocol).iter_errors(dict(address)) for fault in _faults(error)]
    return [CatalogueError(words, field=field_name(("address", *path))) for path, words in found]


def _faults(error: ValidationError) -> list[tuple[FieldPath, str]]:
    """The fields an error is about, each with a sentence; a key that should not be there is named itself."""
    path: FieldPath = tuple(error.absolute_path)
    unknown = _unknown_keys(error)
    return [((*path, key), "this field is not known here") for key in unknown] or [(path, _sentence(error))]


def _unknown_keys(error: ValidationError) -> list[str]:
    if error.validator != "additionalProperties" or not isinstance(error.instance, dict):
        return []
    known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
    return [key for key in error.instance if key not in known]


def _sentence(error: ValidationError) -> str:
    if error.validator == "pattern":
        return f"{error.instance!r} does not fit {error.validator_value}"
    if error.validator == "enum":
        return f"{error.instance!r} is none of {', '.join(map(str, cast('list[object]', error.validator_value)))}"
    return error.message if len(error.message) <= 200 else f"{error.message[:200]}..."
