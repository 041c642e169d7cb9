import { once } from "node:events";
import * as net from "node:net";
import { expect, test } from "@jest/globals";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { type ServerSettings, startServer } from "./http-server.ts";

const SETTINGS: ServerSettings = {
  host: "127.0.0.1",
  port: 0,
  called: { server: "test", listen: "test.listen", certificate: "test.certificate", secret: "test.secret" },
};

test("a client that does not read its answer in time is disconnected, and nothing more is made for it", async () => {
  let given = 0;
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  function* endless(): Generator<string> {
    try {
      for (; ; given += 1) yield "x".repeat(1 << 16);
    } finally {
      end();
    }
  }
  const answer = async () => ({ status: 200, body: endless() });
  const server = await startServer({ ...SETTINGS, answerWithinMs: 20 }, answer, new FakeLog());
  const socket = net.connect(Number(new URL(server.address).port), "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.pause();
  socket.write("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
  await ended;
  const before = given;
  expect(before).toBeGreaterThan(0);
  const closed = once(socket, "close");
  socket.resume();
  await closed;
  expect(given).toBe(before);
  await server.close();
});

test("a connection above the limit is closed, and those that are open go on", async () => {
  const answer = async () => ({ status: 200, body: ["{}"] });
  const server = await startServer({ ...SETTINGS, connectionsMax: 1 }, answer, new FakeLog());
  const port = Number(new URL(server.address).port);
  const first = net.connect(port, "127.0.0.1");
  first.write("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
  await once(first, "data");
  const second = net.connect(port, "127.0.0.1");
  second.on("error", () => undefined);
  second.resume();
  await once(second, "close");
  first.write("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
  const [piece] = (await once(first, "data")) as [Buffer];
  expect(piece.toString()).toMatch(/^HTTP\/1\.1 200 /);
  first.destroy();
  await server.close();
});
