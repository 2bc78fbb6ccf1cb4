"""A Modbus device of libmodbus: `python libmodbus_server.py tcp PORT` or `rtu DEVICE_FILE BAUDRATE`, without a line of ours.

It has what `modbus_server.js` has: holding register n holds n, input register n holds n + 1000, coils and inputs are on at
multiples of 3, registers from 60000 on do not exist. It says "ready" once it listens, and ends with its input.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading

COUNT, LONGEST = 200, 260
BYTES, WORDS = ctypes.POINTER(ctypes.c_uint8), ctypes.POINTER(ctypes.c_uint16)


class Mapping(ctypes.Structure):
    """modbus_mapping_t."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("nb_bits", "start_bits", "nb_input_bits", "start_input_bits")),
        *((name, ctypes.c_int) for name in ("nb_input_registers", "start_input_registers", "nb_registers", "start_registers")),
        ("tab_bits", BYTES),
        ("tab_input_bits", BYTES),
        ("tab_input_registers", WORDS),
        ("tab_registers", WORDS),
    ]


def load() -> ctypes.CDLL:
    library = ctypes.CDLL("libmodbus.so.5")
    library.modbus_new_tcp.restype = library.modbus_new_rtu.restype = ctypes.c_void_p
    library.modbus_new_rtu.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char, ctypes.c_int, ctypes.c_int]
    library.modbus_mapping_new.restype = ctypes.POINTER(Mapping)
    return library


def mapping(library: ctypes.CDLL) -> ctypes._Pointer[Mapping]:
    found: ctypes._Pointer[Mapping] = library.modbus_mapping_new(COUNT, COUNT, COUNT, COUNT)
    for at in range(COUNT):
        found.contents.tab_registers[at], found.contents.tab_input_registers[at] = at, at + 1000
        found.contents.tab_bits[at] = found.contents.tab_input_bits[at] = at % 3 == 0
    return found


def serve(library: ctypes.CDLL, context: ctypes.c_void_p) -> None:
    """Until the client is gone or what came was nothing."""
    tables, request = mapping(library), (ctypes.c_uint8 * LONGEST)()
    while (length := library.modbus_receive(context, request)) >= 0:
        if length:
            library.modbus_reply(context, request, length, tables)


def main(carrier: str, place: str, baudrate: str = "0") -> None:
    library = load()
    if carrier == "tcp":
        context = ctypes.c_void_p(library.modbus_new_tcp(b"127.0.0.1", int(place)))
        server = ctypes.c_int(library.modbus_tcp_listen(context, 1))
        print("ready", flush=True)
        while True:
            library.modbus_tcp_accept(context, ctypes.byref(server))
            serve(library, context)
    else:
        context = ctypes.c_void_p(library.modbus_new_rtu(place.encode(), int(baudrate), b"N", 8, 1))
        library.modbus_set_slave(context, 1)
        library.modbus_connect(context)
        print("ready", flush=True)
        while True:
            serve(library, context)


if __name__ == "__main__":
    threading.Thread(target=main, args=sys.argv[1:], daemon=True).start()
    sys.stdin.read()
    os._exit(0)
