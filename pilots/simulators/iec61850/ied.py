"""An IED on IEC 61850 MMS, simulated on hat-drivers' server side. [zone: field, simulated] [D7.1 2.2.1.2, 3.1.2 b, 3.1.5 f]

Its data model is what the profiles of its devices refer to, with the logical nodes' usual company; its values are the
plant's. Status goes into buffered, measurement into unbuffered report control blocks.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pilots.catalogue.points import resolve_points
from pilots.domain.point import PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, PilotSpec
from pilots.drivers import tls
from pilots.simulators.iec61850 import binding, model
from pilots.simulators.iec61850.binding import Bound
from pilots.simulators.iec61850.controlling import ControlObject
from pilots.simulators.iec61850.library import mms, net
from pilots.simulators.iec61850.model import Leaf, Member, Model
from pilots.simulators.iec61850.reporting import ReportBlock, instances
from pilots.simulators.iec61850.services import Services
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant, Refused

log = logging.getLogger(__name__)

SCAN_S = 0.5
#: Clients that may report-enable the same block at a time, each with its instance.
INSTANCES = 3
STATUS, MEASURED = "dsStatus", "dsMeasured"
#: The blocks of a device whose profile names none: base names, instances are numbered.
BUFFERED_BLOCK, UNBUFFERED_BLOCK = "brcbStatus", "urcbMeasured"


class IntelligentDevice:
    """The server side of one iec61850 connection; `start` listens and follows the plant every SCAN_S."""

    def __init__(
        self, plant: Plant, connection: ConnectionSpec, pilot: PilotSpec, profiles: Mapping[str, Profile], ledger: Ledger
    ) -> None:
        self.plant, self.ledger, self.name = plant, ledger, connection.name
        self.tree = Model()
        self.controls: dict[tuple[str, str], ControlObject] = {}
        self.blocks: list[ReportBlock] = []
        self._bound: list[Bound] = []
        self._options = connection.options
        for device in pilot.devices:
            if device.connection == connection.name and device.profile in profiles:
                points = resolve_points(device, profiles[device.profile], connection)
                self._add_device(device, points, profiles[device.profile].options, _subject(device, pilot))
        self._server: Any = None
        self._scan: asyncio.Task[None] | None = None
        self._clients: dict[Any, asyncio.Task[None]] = {}
        self._services = Services(self.tree)

    # ---------------------------------------------------------------- life

    async def start(self, host: str, port: int) -> None:
        self._follow(datetime.now(UTC))
        context = tls.server_context(self._options)
        encrypted = {} if context is None else {"ssl": context}
        self._server = await mms.listen(self._welcome, net.TcpAddress(host, port), self._services.answer, **encrypted)
        self._scan = asyncio.create_task(self._keep_following(), name=f"{self.name} scan")

    async def stop(self) -> None:
        """Nobody is served any more and every client's connection is closed."""
        if self._scan is not None:
            self._scan.cancel()
            await asyncio.gather(self._scan, return_exceptions=True)
            self._scan = None
        if self._server is not None:
            self._server.close()
            for client in list(self._clients):
                await client.async_close()
            await asyncio.gather(*self._clients.values(), return_exceptions=True)
            await self._server.async_close()
            self._server = None
        for control in self.controls.values():
            await control.stop()

    async def _welcome(self, client: Any) -> None:
        self._clients[client] = asyncio.create_task(self._until_gone(client))

    async def _until_gone(self, client: Any) -> None:
        await client.wait_closed()
        del self._clients[client]
        for block in self.blocks:
            block.forget(client)
        for control in self.controls.values():
            control.forget(client)

    # ---------------------------------------------------------------- following the plant

    async def _keep_following(self) -> None:
        while True:
            await asyncio.sleep(SCAN_S)
            try:
                await self.scan(datetime.now(UTC))
            except Exception:
                log.exception("%s: a scan failed", self.name)

    async def scan(self, now: datetime) -> None:
        """Every attribute shows the plant's value; what changed is reported, and what is due for integrity."""
        changes = self._follow(now)
        for block in self.blocks:
            await block.note_changes(changes, now)
            await block.tick(now)

    def _follow(self, now: datetime) -> dict[Member, str]:
        changes: dict[Member, str] = {}
        for bound in self._bound:
            raw = self.plant.read(bound.device_id, bound.spec.name)
            reason = bound.follow(raw, self.plant.own_time(bound.device_id, now))
            if reason and changes.get(bound.member) != "data":
                changes[bound.member] = reason
        return changes

    # ---------------------------------------------------------------- building

    def _add_device(self, device: DeviceSpec, points: Mapping[str, PointSpec], options: Mapping[str, Any], subject: str) -> None:
        """`subject`: whose values they are in the plant."""
        prefix = str(device.address.get("ied", ""))
        own: list[Bound] = []
        for spec in points.values():
            bound = binding.bind(self.tree, prefix, subject, spec)
            if bound is not None:
                own.append(bound)
                if spec.kind.writable:
                    bound.leaf.on_write = self._setting(device.id, bound)
            elif "ref" in spec.address:
                obeyed = functools.partial(self._obeyed, device.id)
                control = ControlObject(self.tree, prefix, subject, spec, self.plant, obeyed)
                self.controls[device.id, spec.name] = control
                own += [control.status] if control.status is not None else []
        self._bound += own
        for domain in {bound.member.domain for bound in own}:
            self._keep_company(domain)
            self._add_reports(domain, [bound for bound in own if bound.member.domain == domain], options)

    def _keep_company(self, domain: str) -> None:
        """What every logical device has beside what we need of it: LLN0, LPHD1, each node's mode and name plate."""
        nodes = {*self.tree.domains[domain].parts, "LLN0", "LPHD1"}
        for node in nodes:
            for name in ("PhyHealth",) if node == "LPHD1" else ("Beh", "Health"):
                holder = self.tree.branch(domain, f"{node}$ST${name}")
                if "stVal" not in holder.parts:
                    parts: dict[str, Leaf] = {"stVal": model.integer(1), "q": model.quality(), "t": model.time_stamp()}
                    holder.parts.update(parts)
        plate = self.tree.branch(domain, "LLN0$DC$NamPlt")
        plate.parts.update({"vendor": model.text("INVADE SCADA, simulated"), "configRev": model.text("1")})

    def _add_reports(self, domain: str, bounds: list[Bound], options: Mapping[str, Any]) -> None:
        """A data set of status and one of measurement, and the blocks the profile names, else one of each kind."""
        named = options.get("reports") or [
            {"rcb": f"x/LLN0.{BUFFERED_BLOCK}"},
            {"rcb": f"x/LLN0.{UNBUFFERED_BLOCK}", "buffered": False},
        ]
        for constraint, name in (("ST", STATUS), ("MX", MEASURED)):
            members = [bound.member for bound in bounds if f"${constraint}$" in bound.member.item]
            data_set = Member(domain, f"LLN0${name}")
            listed = self.tree.data_sets.setdefault(data_set, [])
            listed += [member for member in dict.fromkeys(members) if member not in listed]
            if not listed:
                del self.tree.data_sets[data_set]
        for entry in named:
            self._add_block(domain, str(entry["rcb"]), buffered=bool(entry.get("buffered", True)))

    def _add_block(self, domain: str, reference: str, *, buffered: bool) -> None:
        logical_device, _, path = reference.partition("/")
        node, _, name = path.partition(".")
        data_set = Member(domain, f"LLN0${STATUS if buffered else MEASURED}")
        known = any(
            block.branch is self.tree.find(domain, f"{node}${'BR' if buffered else 'RP'}${name}01") for block in self.blocks
        )
        if data_set in self.tree.data_sets and not known and (logical_device == "x" or domain.endswith(logical_device)):
            self.blocks += instances(
                self.tree, domain, name.rstrip("0123456789"), data_set, buffered=buffered, count=INSTANCES, node=node
            )

    # ---------------------------------------------------------------- obeying

    def _setting(self, device_id: str, bound: Bound) -> model.WriteHook:
        async def write(_connection: Any, data: Any) -> Any:
            if type(data) is not type(bound.leaf.value):
                return mms.DataAccessError.TYPE_INCONSISTENT
            value, able = bound.spec.from_wire(float(data.value)), bound.spec.capability
            if able is not None and not able.minimum <= value <= able.maximum:
                return mms.DataAccessError.OBJECT_VALUE_INVALID
            try:
                self.plant.write(bound.device_id, bound.spec.name, value)
            except Refused:
                return mms.DataAccessError.OBJECT_ACCESS_DENIED
            bound.leaf.value = data
            self._obeyed(device_id, bound.spec.name, value)
            return None

        return write

    def _obeyed(self, device_id: str, point: str, value: float) -> None:
        self.ledger.write(device=device_id, point=point, value=value, peer=self.name)


def _subject(device: DeviceSpec, pilot: PilotSpec) -> str:
    """Whose values a device tells: its own, or a storage gateway those of the storage unit of its number."""
    storage = device.id.replace("-GW", "-STO")
    known = any(other.id == storage for other in pilot.devices)
    return storage if device.kind is DeviceKind.GATEWAY and known else device.id
