"""The IEC 61850 driver: a client that takes reports, reads what they do not bring, and controls. [zone: field]

Answers D7.1 2.2.1.2, 3.1.2 b (protection IED) and 3.1.5 f (storage gateway). docs/protocols/iec61850.md has the options.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import ClassVar

from pilots.domain.errors import CatalogueError, DeviceRefused, FieldError, LinkDown
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointSpec
from pilots.drivers import tls
from pilots.drivers.base import DeviceTarget, Driver, Examined, Sink, Target, WriteResult
from pilots.drivers.iec61850.acquisition import Acquisition
from pilots.drivers.iec61850.acsi import Attribute, Server
from pilots.drivers.iec61850.controls import Controls, write_setting
from pilots.drivers.iec61850.describe import describe
from pilots.drivers.iec61850.link import Link, open_link
from pilots.drivers.iec61850.mms import Name, Report
from pilots.drivers.iec61850.names import CONTROL, SETTINGS, Place, place_of, places_of, prefix_of
from pilots.drivers.iec61850.options import Options, report_options
from pilots.drivers.iec61850.sources import Role, pick, source_of
from pilots.drivers.iec61850.values import UNREAD, reading_of, words_of
from pilots.drivers.traffic import Traffic

log = logging.getLogger(__name__)


class Iec61850Driver(Driver):
    """One association with an IED. `failure` says why the last one ended; `counts` what was odd."""

    listening: ClassVar[bool] = True
    dissector: ClassVar[str] = "tpkt"
    #: Last entries stored of each buffered report control block, by connection: a new driver goes on where the old stopped.
    _memories: ClassVar[dict[str, dict[Name, bytes]]] = {}

    def __init__(self, target: Target, sink: Sink, traffic: Traffic | None = None) -> None:
        """Raises CatalogueError when addresses or options are wrong."""
        super().__init__(target, sink, traffic)
        self.options = Options.of(target.options)
        self.counts: Counter[str] = Counter()
        self._tls = tls.client_context(target.options)
        self._devices = {device.id: device for device in target.devices}
        self._places = places_of(target.devices)
        self._reports = [(device, report_options({**target.options, **device.options})) for device in target.devices]
        self._link: Link | None = None
        self._server: Server | None = None
        self._controls: Controls | None = None
        self._acquisition: Acquisition | None = None

    @property
    def failure(self) -> FieldError | None:
        return self._link.failure if self._link is not None else None

    # ---------------------------------------------------------------- life

    async def open(self) -> None:
        await self._connect()
        link, server = self._up()
        memory = self._memories.setdefault(f"{self.target.name} {self.target.place}", {})
        self._acquisition = Acquisition(link, server, self.sink, memory, self.counts, self.options)
        self._acquisition.start([place for place in self._places.values() if not place.spec.kind.writable], self._reports)

    async def close(self) -> None:
        acquisition, self._acquisition = self._acquisition, None
        if acquisition is not None:
            await acquisition.stop()
        if self._link is not None:
            await self._link.close()
        self.closed.set()

    async def _connect(self) -> None:
        await self.close()  # a driver may be opened again
        self.closed.clear()
        try:
            self._link = await open_link(
                self._new_link,
                self.target.host,
                self.target.port,
                context=self._tls,
                server_name=tls.server_name(self.target.options, self.target.host),
                within_s=self.options.link.connect_timeout_s,
            )
            tls.check_peer(self._link.ssl_object, self.target.options)
            await self._associate(self._link)
        except BaseException:
            await self.close()
            raise

    async def _associate(self, link: Link) -> None:
        port = self.target.port
        try:
            await link.associate()
        except LinkDown as error:
            raise LinkDown(f"Port {port} opens, but {error}") from error
        except FieldError as error:
            raise type(error)(f"Port {port} opens, but {error}. Check that it speaks MMS.") from error
        self._server = Server(link)
        self._controls = Controls(self._server, self.options.control)

    def _new_link(self) -> Link:
        return Link(self.options.link, self._take_report, self._lost, self.traffic)

    def _lost(self) -> None:
        if self._controls is not None:
            self._controls.link_lost(self.failure)
        self.closed.set()

    def _up(self) -> tuple[Link, Server]:
        if self._link is None or self._link.ended or self._server is None:
            raise LinkDown(f"{self.target.name} is not connected")
        return self._link, self._server

    def _take_report(self, report: Report) -> None:
        if self._controls is not None and self._controls.take(report):
            return
        if self._acquisition is not None:
            self._acquisition.intake.take(report)

    # ---------------------------------------------------------------- commands

    async def write_spec(self, device_id: str, spec: PointSpec, value: float, *, valid_for_s: float | None = None) -> WriteResult:
        """The device took the command, or with an enhanced model carried it out; a setting was read back. IEC 61850 has no
        `valid_for_s` of its own."""
        place = self._place(device_id, spec)
        _, server = self._up()
        if place.constraint == CONTROL and self._controls is not None:
            return WriteResult(await self._controls.operate(place, spec.to_wire(value)))
        if place.constraint not in SETTINGS:
            raise DeviceRefused(f"{spec.name} ({place.constraint}) takes no command", device_code="not sent: no control")
        return WriteResult(await write_setting(server, place, spec.to_wire(value)))

    def _place(self, device_id: str, spec: PointSpec) -> Place:
        try:
            return place_of(self._devices[device_id], spec)
        except CatalogueError as error:
            raise DeviceRefused(str(error), device_code="not sent: bad_address") from error

    # ---------------------------------------------------------------- for engineers

    async def examine(self, device_id: str, spec: PointSpec) -> Examined:
        """What the device says there: value, quality and stamp; of a control its model and status."""
        place = self._place(device_id, spec)
        if place.constraint == CONTROL:
            return await self._examine_control(place)
        _, server = self._up()
        source = source_of(place, await server.type_of(place.data_object))
        value, kind = await server.read_one(source.container), await server.type_of(source.container)
        told = {role: pick(value, steps) for role, steps in source.steps.items()}
        reading = reading_of(spec.name, told.get(Role.VALUE), told.get(Role.QUALITY), told.get(Role.STAMP))
        # Under test it is no measurement, yet an engineer wants to see it: the raw words show the test bit.
        return Examined(reading or RawReading(spec.name, None, UNREAD), f"{source.container} = {words_of(value, kind)}")

    async def _examine_control(self, place: Place) -> Examined:
        _, server = self._up()
        if self._controls is None:
            raise LinkDown(f"{self.target.name} is not connected")
        model = await self._controls.model(place)
        order = await server.type_of(place.data_object)
        raw = f"{place.data_object}: ctlModel {model.value} ({model.word}), takes {', '.join(order.parts)}"
        return Examined(RawReading(place.spec.name, float(model.value)), raw)

    async def browse(self, device_id: str) -> list[Attribute]:
        """Every attribute of the device's logical devices, with references as its points write them."""
        _, server = self._up()
        return await server.browse(prefix_of(self._devices[device_id].address))

    async def probe(self) -> list[str]:
        steps = []
        try:
            await self._connect()
            _, server = self._up()
            steps.append(f"TCP {self.target.port} opens, the association stands")
            steps.append(f"the device is {await server.identity() or 'nameless'}")
            for device in self.target.devices:
                steps.append(await self._probe_device(server, device))
        finally:
            await self.close()
        return steps

    async def _probe_device(self, server: Server, device: DeviceTarget) -> str:
        places = [place for place in self._places.values() if place.device_id == device.id]
        missing = [place.spec.name for place in places if not await server.has(place)]
        if places and len(missing) == len(places):
            words = f"{device.id}: the device has none of its {len(places)} points. Check the IED name (address `ied`)."
            raise DeviceRefused(words, device_code="object-non-existent")
        return f"{device.id}: {len(places) - len(missing)} of {len(places)} points found" + (
            f", missing: {', '.join(missing)}" if missing else ""
        )

    @classmethod
    def describe(cls, frame: bytes) -> str:
        return describe(frame)
