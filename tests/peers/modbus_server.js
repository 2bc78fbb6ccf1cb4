// A Modbus device of npm's modbus-serial, for our driver to talk to: `node modbus_server.js tcp PORT`, `rtu DEVICE_FILE BAUDRATE`
// or `tls PORT PLAIN_PORT CERTIFICATE KEY AUTHORITY`, which wants a certificate of that authority (Modbus/TCP Security).
// Holding register n holds n until it is written, input register n holds n + 1000, coils and inputs are on at multiples of 3.
// Registers from 60000 on do not exist; nobody but units 1 and 2 is there, and no path leads to unit 4. It says "ready" once it listens, and ends with its input.
"use strict";
const fs = require("fs");
const net = require("net");
const tls = require("tls");
const { ServerTCP, ServerSerial } = require("modbus-serial");

const written = new Map();
const coils = new Map();

function refuse(code) {
    const error = new Error(`exception ${code}`);
    error.modbusErrorCode = code;
    throw error;
}

function check(address, unit) {
    if (unit === 4) refuse(10);
    if (unit > 2) refuse(11);
    if (address >= 60000) refuse(2);
}

const device = {
    getHoldingRegister: (address, unit) => {
        check(address, unit);
        return written.has(address) ? written.get(address) : address;
    },
    getInputRegister: (address, unit) => {
        check(address, unit);
        return address + 1000;
    },
    getCoil: (address, unit) => {
        check(address, unit);
        return coils.has(address) ? coils.get(address) : address % 3 === 0;
    },
    getDiscreteInput: (address, unit) => {
        check(address, unit);
        return address % 3 === 0;
    },
    setRegister: (address, value, unit) => {
        check(address, unit);
        written.set(address, value);
    },
    setCoil: (address, value, unit) => {
        check(address, unit);
        coils.set(address, Boolean(value));
    },
};

const [carrier, place, ...more] = process.argv.slice(2);
if (carrier === "tcp") {
    const server = new ServerTCP(device, { host: "127.0.0.1", port: Number(place), unitID: 255 });
    server.on("initialized", () => console.log("ready"));
} else if (carrier === "tls") {
    const [plainPort, ...files] = more;
    const [cert, key, ca] = files.map((file) => fs.readFileSync(file));
    const behind = new ServerTCP(device, { host: "127.0.0.1", port: Number(plainPort), unitID: 255 });
    const secure = tls.createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.2" }, (peer) => {
        const plain = net.connect(Number(plainPort), "127.0.0.1");
        peer.pipe(plain).pipe(peer);
        peer.on("error", () => plain.destroy());
        plain.on("error", () => peer.destroy());
    });
    behind.on("initialized", () => secure.listen(Number(place), "127.0.0.1", () => console.log("ready")));
} else {
    const baudrate = more[0];
    const options = { path: place, port: place, baudRate: Number(baudrate), parity: "none", unitID: 255, interval: 5 };
    const server = new ServerSerial(device, options, { baudRate: Number(baudrate), parity: "none" });
    server.on("initialized", () => console.log("ready"));
    server.on("error", (error) => { console.error(error.message); process.exit(1); });
}
process.stdin.on("end", () => process.exit(0)).resume();
