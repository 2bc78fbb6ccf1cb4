"""libiec61850's client (pyiec61850-ng) in a process of its own, against an IED at a port; prints JSON lines.

`browse`, `operate` and `report BLOCK`. One task each: the library's threads and Python's lock wait for each other when a
report comes during a request.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import pyiec61850.pyiec61850 as lib
from pyiec61850.mms.client import MMSClient
from pyiec61850.mms.control import ControlClient
from pyiec61850.mms.exceptions import MMSError

POSITION = "CSWI1.Pos"


def connected(port: int) -> MMSClient:
    """The library loses one connection in some thirty right after opening it, whatever the server."""
    for attempt in range(5):
        client = MMSClient()
        try:
            client.connect("127.0.0.1", port)
            client.get_logical_devices()
        except MMSError:
            time.sleep(0.1 * attempt)
            continue
        return client
    raise SystemExit("no connection")


def say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


def browse(client: MMSClient, device: str) -> None:
    identity = client.get_server_identity()
    say(vendor=identity.vendor, devices=client.get_logical_devices(), nodes=client.get_logical_nodes(device))
    say(objects=client.get_data_objects(device, "MMXU1"), attributes=client.get_data_attributes(device, "MMXU1", "PhV"))
    power = client.read_value(f"{device}/MMXU1.TotW", "MX")
    say(power=client.read_value(f"{device}/MMXU1.TotW.mag.f", "MX"), whole=len(power), at_ms=power[2])
    say(data_set=len(client.read_dataset(f"{device}/LLN0.dsMeasured")))


def operate(client: MMSClient, device: str) -> None:
    control, reference = ControlClient(client), f"{device}/{POSITION}"
    say(model=control.get_control_model(reference))
    for wanted in (False, False, True):
        try:
            control.select_with_value(reference, wanted)
            said: object = control.operate(reference, wanted)
        except Exception as error:
            said = type(error).__name__
        time.sleep(0.2)
        last = lib.ControlObjectClient_getLastApplError(control._control_objects[reference])
        say(wanted=wanted, said=said, add_cause=last.addCause)


class Handler(lib.RCBHandler):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []

    def trigger(self) -> None:
        report = self._client_report
        number, reason = lib.ClientReport_getSeqNum(report), lib.ClientReport_getReasonForInclusion(report, 0)
        self.told.append({"number": number, "reason": reason, "at_ms": lib.ClientReport_getTimestamp(report)})


def report(client: MMSClient, device: str, block: str) -> None:
    connection, reference = client._connection, f"{device}/LLN0.{block}"
    values = lib.ClientReportControlBlock_create(reference)
    lib.IedConnection_getRCBValues(connection, reference, values)
    handler, subscriber = Handler(), lib.RCBSubscriber()
    subscriber.setIedConnection(connection)
    subscriber.setRcbReference(reference)
    subscriber.setRcbRptId(lib.ClientReportControlBlock_getRptId(values))
    subscriber.setEventHandler(handler)
    subscriber.subscribe()
    lib.ClientReportControlBlock_setIntgPd(values, 200)
    lib.ClientReportControlBlock_setTrgOps(values, lib.TRG_OPT_DATA_CHANGED | lib.TRG_OPT_INTEGRITY | lib.TRG_OPT_GI)
    lib.ClientReportControlBlock_setRptEna(values, True)
    elements = lib.RCB_ELEMENT_RPT_ENA | lib.RCB_ELEMENT_INTG_PD | lib.RCB_ELEMENT_TRG_OPS
    lib.IedConnection_setRCBValues(connection, values, elements, True)
    end = time.monotonic() + 10
    while len(handler.told) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    say(data_set=lib.ClientReportControlBlock_getDataSetReference(values), reports=handler.told[:3])
    sys.stdout.flush()
    os._exit(0)  # closing while reports come is the deadlock of above


def main() -> None:
    port, task, *arguments = sys.argv[1:]
    client = connected(int(port))
    device = client.get_logical_devices()[0]
    {"browse": browse, "operate": operate, "report": report}[task](client, device, *arguments)
    client.disconnect()


if __name__ == "__main__":
    main()
