"""Which words of ours stand for which data objects of IEC 61850, and how their values, units and labels are read.
[zone: none, configuration]

Sources: IEC 61850-7-4 edition 2; IEC 61850-7-420, whose names differ by edition (2009: ZBAT, DRCC, ZINV; 2021: DSTO, DBAT,
DAGC, DVAR, DWMX): compare those with the licensed text. IEC 61850-7-3, annex A for units.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Word(NamedTuple):
    """A word of ours for a data object (of a class): lower `rank` wins where several of a device claim it."""

    classes: str
    path: str
    point: str
    rank: int = 0


#: As the profile's schema has it.
REFERENCE = r"[A-Za-z0-9_]{1,64}/[A-Za-z0-9_]+(\.[A-Za-z][A-Za-z0-9_]*)+"
PHASES = {"A": "l1", "B": "l2", "C": "l3"}
PAIRS = {"AB": "12", "BC": "23", "CA": "31"}
POSITIONS = {0: "intermediate", 1: "open", 2: "closed", 3: "bad"}
_TWO = {"trip": ("normal", "tripped"), "protection_start": ("normal", "started"), "control_mode": ("remote", "local")}
LABELS: dict[str, dict[int, str]] = {
    "position": POSITIONS,
    "position_cmd": {1: "open", 2: "closed"},
    "device_health": {1: "ok", 2: "warning", 3: "alarm"},
    **{name: dict(enumerate(words)) for name, words in _TWO.items()},
}
#: Classes and paths are whole-match patterns; `{phase}` and `{pair}` stand for the phases above.
WORDS = (
    Word("MMXU|MMXN", "TotW|Watt", "active_power"),
    Word("MMXU|MMXN", "TotVAr|VolAmpr", "reactive_power"),
    Word("MMXU|MMXN", "TotVA|VolAmp", "apparent_power"),
    Word("MMXU|MMXN", "TotPF|PwrFact", "power_factor"),
    Word("MMXU|MMXN", "Hz", "frequency"),
    Word("MMXU|MMXN", "AvPhVPhs|Vol", "voltage"),
    Word("MMXU", "AvPPVPhs", "voltage_ll"),
    Word("MMXU|MMXN", "AvAPhs|Amp", "current"),
    Word("MMXU", r"PhV\.phs(?P<phase>[ABC])", "voltage_{phase}"),
    Word("MMXU", r"PPV\.phs(?P<pair>AB|BC|CA)", "voltage_ll_{pair}"),
    Word("MMXU", r"A\.phs(?P<phase>[ABC])", "current_{phase}"),
    Word("MMXU", r"A\.neut", "current_n"),
    Word("MMXU", r"W\.phs(?P<phase>[ABC])", "active_power_{phase}"),
    Word("MMXU", r"VAr\.phs(?P<phase>[ABC])", "reactive_power_{phase}"),
    Word("MMTR|MMTN", "DmdWh", "energy_import"),
    Word("MMTR|MMTN", "TotWh", "energy_import", 1),
    Word("MMTR|MMTN", "SupWh", "energy_export"),
    Word("MMDC|ZBAT|DBAT", "Watt", "dc_power"),
    Word("MMDC|ZBAT|DBAT", "Vol", "dc_voltage"),
    Word("MMDC|ZBAT|DBAT", "Amp", "dc_current"),
    Word("XCBR|XSWI", "Pos", "position"),
    Word("CSWI", "Pos", "position", 1),
    Word("PTRC", "Tr", "trip"),
    Word("PTOC|PIOC", "Str", "protection_start"),
    Word("P[A-Z]{3}", "Str", "protection_start", 1),
    Word("XCBR|XSWI|CSWI", "Loc", "control_mode"),
    Word("LLN0", "Loc", "control_mode", 1),
    Word("LPHD", "PhyHealth", "device_health"),
    Word("YLTC|ATCC", "TapPos|TapChg", "tap_position"),
    Word("STMP|KTMP", "Tmp", "temperature"),
    Word("ZBAT|DBAT", "InBatTmp|Tmp", "temperature", 1),
    Word("YPTR", "HPTmp", "hotspot_temperature"),
    Word("MMET", "EnvTmp", "temp_ambient"),
    Word("MMET", "HorWdSpd", "wind_speed"),
    Word("MMET", "HorWdDir", "wind_dir"),
    Word("DSTO|DBAT|ZBAT", "(Eff|Use)?Soc(Eff|Use)?(Pct)?", "soc"),
    Word("DSTO|DBAT|ZBAT", "Soh(Pct)?", "soh"),
    Word("DSTO|DBAT|ZBAT", "(Eff|Use)?Wh(Cap|CapRtg)", "capacity_real"),
    Word("DSTO|DBAT|ZBAT", "Wh(Avl|Avail)|AvlWh", "energy_available"),
    Word("DSTO|DBAT|ZBAT", "ChaRte", "charge_rate"),
    Word("DSTO|DBAT|ZBTC", "ChaWMax|WChaMax|WChaRteMax", "p_charge_max"),
    Word("DSTO|DBAT|ZBTC", "DschWMax|WDschMax|WDisChaRteMax", "p_discharge_max"),
    Word("DSTO|DBAT|ZBAT", "CycCnt", "cycles"),
    Word("DSTO|DBAT|ZBAT", "BatSt|StoSt", "storage_state"),
    Word("ZINV|DINV", "InvSt|OpSt", "inverter_state"),
    Word("DAGC|DWGC|DSTO|DECP", "WSpt", "p_set"),
    Word("DRCC|ZINV", "OutWSet", "p_set", 1),
    Word("DVAR", "VArSpt|VArTgtSpt", "q_set"),
    Word("DRCC|ZINV", "OutVarSet", "q_set", 1),
    Word("DFPF", "PFSpt", "pf_set"),
    Word("DRCC|DRCT", "OutPFSet", "pf_set", 1),
    Word("DRCC", "OutVSet", "u_set"),
    Word("DWMX", "WMaxSpt|WLimSpt", "p_limit"),
    Word("DRCT", "MaxWLim", "p_limit", 1),
    Word("DSTO", "SocMinPct|SocRsvMin", "soc_min_set"),
    Word("DSTO", "SocMaxPct|SocRsvMax", "soc_max_set"),
)  # fmt: skip
#: Words that IEC 61850-7-420 gave, so that the edition matters.
BY_EDITION = re.compile(r"D[A-Z]{3}|Z(BAT|BTC|INV)")
#: Ranges of known set-points where the file has none: of rated power, or in the word's unit.
LIMITS = {
    "p_set": ("-100%", "100%"), "q_set": ("-100%", "100%"), "p_limit": ("0%", "100%"), "pf_set": ("-1", "1"),
    "u_set": ("207", "253"), "soc_min_set": ("5", "50"), "soc_max_set": ("50", "95"), "position_cmd": ("1", "2"),
}  # fmt: skip
FEEDBACK = {"position_cmd": "position", "p_set": "active_power", "q_set": "reactive_power", "p_limit": "active_power"}
#: Where a data object keeps its value, best first.
VALUES = (
    ("mag", "f"), ("mag", "i"), ("cVal", "mag", "f"), ("cVal", "mag", "i"), ("instMag", "f"), ("instMag", "i"), ("mxVal", "f"),
    ("mxVal", "i"), ("valWTr", "posVal"), ("stVal",), ("general",), ("actVal",), ("setMag", "f"), ("setMag", "i"), ("setVal",),
)  # fmt: skip
#: What every node has and no operator asks for.
PLAIN = frozenset({"Mod", "Beh", "NamPlt", "PhyNam", "Proxy"})
MULTIPLIERS = {
    "": 0, "k": 3, "M": 6, "G": 9, "m": -3, "µ": -6, "u": -6, "c": -2, "d": -1, "da": 1, "h": 2, "T": 12, "n": -9, "p": -12,
}  # fmt: skip
#: SIUnit (IEC 61850-7-3, annex A): literal or number -> unit of ours.
UNITS = {
    "W": "W", "38": "W", "62": "W", "VAr": "var", "63": "var", "VA": "VA", "61": "VA", "V": "V", "29": "V", "A": "A", "5": "A",
    "Hz": "Hz", "33": "Hz", "Wh": "Wh", "72": "Wh", "VArh": "varh", "73": "varh", "VAh": "VAh", "71": "VAh", "°C": "degC",
    "23": "degC", "deg": "deg", "9": "deg", "s": "s", "4": "s", "cos(phi)": "1", "65": "1", "m/s": "m/s", "43": "m/s", "1": "1",
}  # fmt: skip


def our_word(node_class: str, path: str) -> tuple[str, int]:
    """Our word for a data object and its rank; "" for one we have none for.

    >>> our_word("MMXU", "PhV.phsB"), our_word("CSWI", "Pos"), our_word("GGIO", "Ind1")
    (('voltage_l2', 0), ('position', 1), ('', 9))
    """
    for word in WORDS:
        found = re.fullmatch(word.path, path) if re.fullmatch(word.classes, node_class) else None
        if found is not None:
            groups = found.groupdict()
            phases = {"phase": PHASES.get(groups.get("phase", ""), ""), "pair": PAIRS.get(groups.get("pair", ""), "")}
            return word.point.format(**phases), word.rank
    return "", 9
