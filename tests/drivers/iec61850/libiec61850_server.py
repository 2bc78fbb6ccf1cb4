"""An IED of libiec61850 (pyiec61850-ng), in a process of its own: the C library can take its interpreter down.

Run as a script with a port; says "ready" and then obeys lines: `float REF VALUE`, `bool REF VALUE`, `position REF VALUE`,
`quality REF VALUE`, `time REF MS`, `get REF`. It takes every command: refusals are our own simulator's part.
"""

from __future__ import annotations

import sys
from typing import Any

import pyiec61850.pyiec61850 as lib

IED = "PEER"
MEMBERS = ("MMXU1$MX$TotW", "CSWI1$ST$Pos", "PTOC1$ST$Str$general")


def build() -> Any:
    model = lib.IedModel_create(IED)
    device = lib.LogicalDevice_create("LD0", model)
    nodes = {name: lib.LogicalNode_create(name, device) for name in ("LLN0", "MMXU1", "CSWI1", "GGIO1", "PTOC1")}
    parent = {name: lib.toModelNode(node) for name, node in nodes.items()}
    lib.CDC_ENS_create("Beh", parent["LLN0"], 0)
    lib.CDC_MV_create("TotW", parent["MMXU1"], 0, False)
    lib.CDC_WYE_create("PhV", parent["MMXU1"], lib.CDC_OPTION_PHASES_ABC)
    lib.CDC_DPC_create("Pos", parent["CSWI1"], 0, lib.CDC_CTL_MODEL_SBO_ENHANCED | lib.CDC_CTL_MODEL_HAS_CANCEL)
    models = (
        lib.CDC_CTL_MODEL_DIRECT_NORMAL,
        lib.CDC_CTL_MODEL_SBO_NORMAL,
        lib.CDC_CTL_MODEL_DIRECT_ENHANCED,
        lib.CDC_CTL_MODEL_SBO_ENHANCED,
    )
    for number, control_model in enumerate(models, 1):
        lib.CDC_SPC_create(f"SPCSO{number}", parent["GGIO1"], 0, control_model | lib.CDC_CTL_MODEL_HAS_CANCEL)
    lib.CDC_APC_create("AnOut1", parent["GGIO1"], 0, lib.CDC_CTL_MODEL_DIRECT_NORMAL, False)
    lib.CDC_ACD_create("Str", parent["PTOC1"], 0)
    add_reports(nodes["LLN0"])
    return model


def add_reports(node: Any) -> None:
    data_set = lib.DataSet_create("dsAll", node)
    for member in MEMBERS:
        lib.DataSetEntry_create(data_set, member, -1, None)
    options = 0xFF & ~lib.RPT_OPT_DATA_REFERENCE
    triggers = lib.TRG_OPT_DATA_CHANGED | lib.TRG_OPT_QUALITY_CHANGED | lib.TRG_OPT_INTEGRITY | lib.TRG_OPT_GI
    for name, buffered in (("urcbA01", False), ("brcbA01", True)):
        lib.ReportControlBlock_create(name, node, "", buffered, "dsAll", 1, triggers, options, 0, 0)


def obey(model: Any, server: Any, words: list[str]) -> None:
    node = lib.toDataAttribute(lib.IedModel_getModelNodeByObjectReference(model, f"{IED}{words[1]}"))
    lib.IedServer_lockDataModel(server)
    if words[0] == "float":
        lib.IedServer_updateFloatAttributeValue(server, node, float(words[2]))
    elif words[0] == "bool":
        lib.IedServer_updateBooleanAttributeValue(server, node, words[2] == "true")
    elif words[0] == "position":
        lib.IedServer_updateDbposValue(server, node, int(words[2]))
    elif words[0] == "quality":
        lib.IedServer_updateQuality(server, node, int(words[2]))
    elif words[0] == "time":
        lib.IedServer_updateUTCTimeAttributeValue(server, node, int(words[2]))
    lib.IedServer_unlockDataModel(server)
    print("done", flush=True)


def main() -> None:
    model = build()
    server = lib.IedServer_create(model)
    lib.IedServer_start(server, int(sys.argv[1]))
    print("ready" if lib.IedServer_isRunning(server) else "failed", flush=True)
    for line in sys.stdin:
        obey(model, server, line.split())


if __name__ == "__main__":
    main()
