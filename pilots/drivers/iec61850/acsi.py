"""The far end as IEC 61850-7-2 sees it: read, write, browse, on top of one association. [zone: field]

What was asked once for types and directories is remembered as long as the association lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pilots.domain.errors import DeviceRefused, ProtocolViolation
from pilots.drivers.iec61850 import mms
from pilots.drivers.iec61850.data import DataFailure, Kind, Type, Value, encode_value
from pilots.drivers.iec61850.link import Link
from pilots.drivers.iec61850.mms import Name
from pilots.drivers.iec61850.names import Place, reference_of

#: Variables in one read: their values fit any device's largest message.
VARIABLES_PER_READ = 20
#: Pages of one name list: a device that never says it was the last is no reason to ask for ever.
MOST_PAGES = 1000


@dataclass(frozen=True, slots=True)
class Attribute:
    """One data attribute that a device offers: its reference, functional constraint and type ("float32")."""

    ref: str
    fc: str
    type: str


class Server:
    """What one association can be asked for. Raises LinkDown, AnswerTimeout, DeviceRefused, ProtocolViolation throughout."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._types: dict[Name, Type] = {}

    async def identity(self) -> str:
        """Vendor, model and revision in one line."""
        return " ".join(filter(None, mms.identity_in(await self.link.request(mms.identify()))))

    # ---------------------------------------------------------------- values

    async def read(self, names: Sequence[Name]) -> list[Value | DataFailure]:
        """One value or failure for each name, in order."""
        values: list[Value | DataFailure] = []
        for at in range(0, len(names), VARIABLES_PER_READ):
            values += await self._read_some(names[at : at + VARIABLES_PER_READ])
        return values

    async def _read_some(self, names: Sequence[Name]) -> list[Value | DataFailure]:
        try:
            values = mms.values_in(await self.link.request(mms.read(names)))
        except DeviceRefused:
            if len(names) == 1:
                raise
            # Too large an answer, or a device that refuses all for one: halves tell which.
            middle = len(names) // 2
            return [*await self._read_some(names[:middle]), *await self._read_some(names[middle:])]
        if len(values) != len(names):
            raise ProtocolViolation(f"{len(values)} values answer a read of {len(names)}")
        return values

    async def read_one(self, name: Name) -> Value:
        """Raises DeviceRefused also when the device has no such thing."""
        (value,) = await self.read([name])
        if isinstance(value, DataFailure):
            words = mms.failure_words(value)
            raise DeviceRefused(f"{name} cannot be read: {words}", device_code=words)
        return value

    async def write(self, name: Name, kind: Type, value: Value) -> None:
        """The device has taken the value. Raises DeviceRefused in its words; ValueError when the type cannot carry it."""
        results = mms.written_in(await self.link.request(mms.write([name], [encode_value(kind, value)])))
        if len(results) != 1:
            raise ProtocolViolation(f"{len(results)} results answer one write")
        if results[0] is not None:
            self.link.traffic.refused += 1
            words = mms.failure_words(results[0])
            raise DeviceRefused(f"{name} was not written: {words}", device_code=words)

    # ---------------------------------------------------------------- directories

    async def type_of(self, name: Name) -> Type:
        """The type of a variable, whole or part."""
        known = self._types.get(name)
        if known is None:
            known = self._types[name] = mms.type_in(await self.link.request(mms.type_of(name)))
        return known

    async def domains(self) -> list[str]:
        return await self._pages(mms.list_domains)

    async def variables(self, domain: str) -> list[str]:
        return await self._pages(lambda after: mms.list_names(domain, after=after))

    async def data_sets(self, domain: str) -> list[str]:
        return await self._pages(lambda after: mms.list_names(domain, lists=True, after=after))

    async def members(self, data_set: Name) -> list[Name]:
        return mms.members_in(await self.link.request(mms.members_of(data_set)))

    async def _pages(self, request: Callable[[str], bytes]) -> list[str]:
        names: list[str] = []
        for _ in range(MOST_PAGES):
            page, more = mms.names_in(await self.link.request(request(names[-1] if names else "")))
            names += page
            if not more or not page:
                return names
        raise ProtocolViolation(f"a name list of more than {MOST_PAGES} pages")

    async def has(self, place: Place) -> bool:
        """Whether the device has the point's attribute, or for a control its object."""
        try:
            await self.type_of(place.name)
        except DeviceRefused:
            return False
        return True

    async def browse(self, prefix: str = "") -> list[Attribute]:
        """Every data attribute of the logical devices whose names begin so, as the device describes itself.

        References come without the prefix.
        """
        found: list[Attribute] = []
        for domain in await self.domains():
            if not domain.startswith(prefix):
                continue
            nodes = [name for name in await self.variables(domain) if "$" not in name]
            for node in nodes:
                kind = await self.type_of(Name(domain, node))
                found += _leaves(Name(domain.removeprefix(prefix), node), kind)
        return found


def _leaves(name: Name, kind: Type) -> Iterator[Attribute]:
    if kind.kind is Kind.STRUCTURE:
        for part, inner in kind.parts.items():
            yield from _leaves(Name(name.domain, f"{name.item}${part}"), inner)
    else:
        yield Attribute(*reference_of(name), str(kind))
