"""The text of a profile for each SunSpec model of mapping.yaml. [zone: field]"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pilots.catalogue.sunspec.models import TYPES, Model, ModelPoint, read_model
from pilots.catalogue.yaml_lines import Document, read_document
from pilots.domain.errors import CatalogueError

MAPPING = Path(__file__).with_name("mapping.yaml")
SOURCE = "SunSpec Information Model Specification; model {} of the SunSpec Alliance's JSON (pysunspec2)"
#: SunSpec unit -> ours with the factor between them.
_UNITS = {
    ("C", "degC"): 1.0,
    ("cos()", "1"): 1.0,
    ("PF", "1"): 1.0,
    ("Pct", "1"): 0.01,
    ("Pct", "%"): 1.0,
    ("WH", "Wh"): 1.0,
    ("Var", "var"): 1.0,
    ("Varh", "varh"): 1.0,
}
_WRITTEN = ("setpoint", "command")
_ORDER = ["kind", "unit", "poll", "address", "scale", "sign", "deadband", "low", "high", "labels", "feedback", "capability"]


def profiles(folder: Path) -> Iterator[tuple[str, str]]:
    """File name and text of every profile that mapping.yaml asks for. Raises CatalogueError where it does not fit the models."""
    document = read_document(MAPPING)
    for index, family in enumerate(document.data["families"]):
        for number in family["models"]:
            model = read_model(number, folder)
            yield f"sunspec-{number}.yaml", _Writer(document, index, family, model).text()


class _Writer:
    """One model's profile on its way to text."""

    def __init__(self, document: Document, index: int, family: Mapping[str, Any], model: Model) -> None:
        self.document = document
        self.index = index
        self.family = family
        self.model = model
        self.quantities = document.data["quantities"]

    def text(self) -> str:
        head = ["# Made by `python -m pilots.catalogue.sunspec`: change pilots/catalogue/sunspec/mapping.yaml, not this file."]
        head += [f"# {self.family['notes']}"] if "notes" in self.family else []
        head += [f"name: sunspec-{self.model.id}", "protocol: modbus_tcp", "maker: any SunSpec"]
        head += [f"model: {_quoted(self.model.label)}"]
        head += [f"source: {_quoted(SOURCE.format(self.model.id))}"]
        head += ["partial: true  # its set-points need the measurements of another model"] if self.family.get("partial") else []
        head += ["options: {word_order: big, max_registers: 125, holes: allowed, sunspec: true}", "points:"]
        return "\n".join([*head, *self._lines()]) + "\n"

    def _lines(self) -> Iterator[str]:
        for ours, entry in self.family["points"].items():
            form = entry if isinstance(entry, dict) else {"from": entry}
            if any(_concerns(ours, phase) for phase in self.family.get("without", {}).get(str(self.model.id), [])):
                continue
            point = self._point(ours, form["from"])
            count = self.family["instances"] if ours.endswith("#") else 1
            for instance in range(count):
                shift = instance * self._stride(point)
                yield self._line(ours.replace("#", str(instance + 1)), ours, form, point, shift)

    def _point(self, ours: str, names: str | list[str]) -> ModelPoint:
        for name in [names] if isinstance(names, str) else names:
            point = self.model.point(name)
            if point is not None:
                return point
        raise self._error(f"model {self.model.id} has no point {names}", ours)

    def _stride(self, point: ModelPoint) -> int:
        return self.model.strides.get(point.name.partition(".")[0], 0)

    def _line(self, name: str, ours: str, form: Mapping[str, Any], point: ModelPoint, shift: int) -> str:
        quantity = self._quantity(ours)
        own = {key: form[key] for key in ("poll", "low", "high", "deadband", "feedback", "capability") if key in form}
        fields: dict[str, Any] = {**quantity, "address": self._address(ours, form, point, shift)}
        fields |= self._turning(ours, form, quantity, point)
        labels = form.get("labels") or self._labels(quantity, point)
        if labels:
            fields["labels"] = labels
        fields |= own
        written = {key: fields[key] for key in _ORDER if key in fields}
        return f"  {name}: {_flow(written)}  # {self._comment(form, point)}"

    def _quantity(self, ours: str) -> dict[str, Any]:
        word = ours.removesuffix("_#")
        while word not in self.quantities:
            if "_" not in word:
                raise self._error("is among no quantities", ours)
            word = word.rpartition("_")[0]
        return {**self.quantities[word], **self.family.get("quantities", {}).get(word, {})}

    def _address(self, ours: str, form: Mapping[str, Any], point: ModelPoint, shift: int) -> dict[str, Any]:
        if point.type not in TYPES:
            raise self._error(f"type {point.type} has no register form", ours)
        address: dict[str, Any] = {"model": self.model.id, "offset": point.offset + shift, "type": TYPES[point.type]}
        if point.type == "string":
            address["length"] = point.registers
        if point.scale_factor:
            address["scale_offset"] = self._point(ours, point.scale_factor).offset
        if self._quantity(ours)["kind"] not in _WRITTEN:
            return address
        if not point.writable:
            raise self._error(f"{point.name} cannot be written", ours)
        if "enable" in form:
            enable = self._point(ours, form["enable"])
            address["enable"] = {"offset": enable.offset, "value": form.get("enable_value", 1)}
        if "reversion" in form:
            reversion = self._point(ours, form["reversion"])
            address |= {"reversion_offset": reversion.offset, "reversion_type": TYPES[reversion.type]}
        return address

    def _turning(
        self, ours: str, form: Mapping[str, Any], quantity: Mapping[str, Any], point: ModelPoint
    ) -> Iterator[tuple[str, Any]]:
        """Scale and sign, where they are not 1."""
        unit = quantity.get("unit", "")
        factor = form.get("scale", 1.0 if unit == point.unit else _UNITS.get((point.unit, unit)))
        if factor is None and point.unit.startswith("%") and unit == "%":
            factor = 1.0
        if factor is None and point.unit:
            raise self._error(f"{point.name} is in {point.unit}, not in {unit}", ours)
        if factor not in (None, 1.0):
            yield "scale", factor
        if "sign" in form:
            yield "sign", form["sign"]

    @staticmethod
    def _labels(quantity: Mapping[str, Any], point: ModelPoint) -> dict[int, str]:
        if quantity["kind"] not in ("status", "command") or point.type.startswith("bitfield"):
            return {}
        words = {code: symbol.replace("_", " ").lower() for code, symbol in point.symbols.items()}
        return {code: word for code, word in words.items() if not word.startswith("reserved")}

    @staticmethod
    def _comment(form: Mapping[str, Any], point: ModelPoint) -> str:
        says_more = point.label and point.label.replace(" ", "").lower() != point.name.lower()
        label = f", {point.label}" if says_more else ""
        return f"{point.name}{label}" + (f"; {form['note']}" if "note" in form else "")

    def _error(self, sentence: str, ours: str) -> CatalogueError:
        return self.document.error(sentence, "families", self.index, "points", ours)


def _concerns(ours: str, phase: str) -> bool:
    """Whether the point needs that phase, or the neutral.

    >>> _concerns("voltage_ll_31", "L3"), _concerns("current_l3", "L2"), _concerns("voltage_l1", "N")
    (True, False, True)
    """
    if phase == "N":
        return ours == "voltage" or (ours.startswith("voltage_l") and not ours.startswith("voltage_ll"))
    between = ours.startswith("voltage_ll_") and phase[1] in ours.removeprefix("voltage_ll_")
    return between or ours.endswith(f"_{phase.lower()}")


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(each) for each in value) + "]"
    if isinstance(value, float):
        return f"{value:.1e}" if value >= 1e9 else f"{value:g}"
    if isinstance(value, bool):
        return str(value).lower()
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    """The text as YAML; quoted where a bare word would be read as something else.

    >>> _quoted("W"), _quoted("1"), _quoted("%"), _quoted("-50%"), _quoted("AC meter (3 phases)"), _quoted("off")
    ('W', '"1"', '"%"', '-50%', 'AC meter (3 phases)', '"off"')
    """
    number = text.replace(".", "").replace("-", "").isdigit()
    awkward = not text or number or text[0] in "%@&*!|>'\"#{}[],?`" or any(mark in text for mark in (": ", " #", ",", "{", "}"))
    return f'"{text}"' if awkward or text in ("on", "off", "yes", "no", "true", "false", "null") else text
