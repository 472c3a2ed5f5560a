// A client of the echo service, with @grpc/grpc-js: calls a server as its
// scenario says, and writes a line of JSON for each thing that happens.
//
// Usage: node node_client.js SCENARIO PORT [CA_FILE [KEY_FILE CERTIFICATE_FILE]]

"use strict";

const fs = require("fs");
const grpc = require("@grpc/grpc-js");

const ECHO = "/tensorflow.serving.test.EchoService/Echo";
const WATCH = "/grpc.health.v1.Health/Watch";
const DEADLINE_MILLIS = 60000;

// Messages with one field: a text with the tag 1.
function encode(text) {
  const data = Buffer.from(text);
  const head = [0x0a];
  let size = data.length;
  for (; size >= 0x80; size >>>= 7) head.push((size & 0x7f) | 0x80);
  head.push(size);
  return Buffer.concat([Buffer.from(head), data]);
}

function decode(message) {
  let start = 1;
  while (message[start] & 0x80) start++;
  return message.subarray(start + 1).toString();
}

function report(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}

function connect([port, ca, key, certificate]) {
  const read = (path) => (path ? fs.readFileSync(path) : null);
  const credentials = ca
    ? grpc.credentials.createSsl(read(ca), read(key), read(certificate))
    : grpc.credentials.createInsecure();
  return new grpc.Client(`localhost:${port}`, credentials);
}

function begin(client, text, done, millis = DEADLINE_MILLIS) {
  const options = { deadline: Date.now() + millis };
  const call = client.makeUnaryRequest(
    ECHO, encode, decode, text, new grpc.Metadata(), options, done);
  return call;
}

function echo(client, text, millis) {
  return new Promise((resolve) => {
    begin(client, text, (error, answer) => resolve(
      error ? { code: error.code, text: error.details }
            : { code: 0, text: answer }), millis);
  });
}

// Runs so many workers at a time.
function together(count, work) {
  return Promise.all(Array.from({ length: count }, work));
}

const scenarios = {
  async answer(client) {
    report(await echo(client, "na\u00efve \u2603"));
    report(await echo(client, "refuse"));
  },

  async thousand(client) {
    let next = 0;
    let right = 0;
    await together(64, async () => {
      while (next < 1000) {
        const text = `text ${next++}`;
        if ((await echo(client, text)).text === text) right++;
      }
    });
    report(right);
  },

  async large(client) {
    const text = "large".repeat(600000);
    report((await echo(client, text)).text === text);
  },

  async cancel(client) {
    const ended = new Promise((resolve) => {
      const call = begin(client, "keep", (error) => resolve(error.code));
      process.stdin.once("data", () => call.cancel());
    });
    report(await ended);
    process.stdin.destroy();
  },

  async deadline(client) {
    await echo(client, "hello");
    report((await echo(client, "keep", 500)).code);
  },

  async watch(client) {
    const call = client.makeServerStreamRequest(
      WATCH, () => Buffer.alloc(0), (message) => message[1], null);
    call.on("data", report);
    call.on("error", () => {}); // The status says it.
    await new Promise((resolve) => call.on("status", (status) => {
      report({ code: status.code });
      resolve();
    }));
  },

  async stop(client) {
    const counts = {};
    let refused = false;
    await together(32, async () => {
      while (!refused) {
        const { code } = await echo(client, "hello");
        counts[code] = (counts[code] || 0) + 1;
        refused = refused || code !== 0;
        if (code === 0 && counts[0] === 300) report("enough");
      }
    });
    report(counts);
  },
};

async function main([scenario, ...target]) {
  const client = connect(target);
  await scenarios[scenario](client);
  client.close();
}

main(process.argv.slice(2));
