// A Modbus client of npm's modbus-serial, for our simulators: `node modbus_client.js tcp PORT UNIT CALLS` or
// `rtu DEVICE_FILE UNIT CALLS`, CALLS a JSON list of [method, argument, ...]. Prints the answers as one JSON list;
// a refusal is {"exception": code}.
"use strict";
const ModbusRTU = require("modbus-serial");

async function call(client, [method, ...given]) {
    try {
        const answer = await client[method](...given);
        return answer.data === undefined ? answer : answer.data;
    } catch (error) {
        return { exception: error.modbusCode === undefined ? String(error.message) : error.modbusCode };
    }
}

async function main() {
    const [carrier, place, unit, calls] = process.argv.slice(2);
    const client = new ModbusRTU();
    client.setTimeout(3000);
    if (carrier === "tcp") {
        await client.connectTCP("127.0.0.1", { port: Number(place) });
    } else {
        await client.connectRTUBuffered(place, { baudRate: 19200, parity: "even" });
    }
    client.setID(Number(unit));
    const answers = [];
    for (const each of JSON.parse(calls)) {
        answers.push(await call(client, each));
    }
    console.log(JSON.stringify(answers));
    process.exit(0);
}

main().catch((error) => { console.error(error.message); process.exit(1); });
