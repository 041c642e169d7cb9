import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { afterEach, expect, test } from "@jest/globals";
import { connectTcp, type Lookup } from "./tcp.ts";

const servers: net.Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((done) => server.close(done));
});

async function listening(host: string): Promise<number> {
  const server = net.createServer((socket) => socket.on("error", () => undefined).end());
  servers.push(server);
  server.listen(0, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const named =
  (...addresses: string[]): Lookup =>
  (_, done) =>
    done(
      null,
      addresses.map((address) => ({ address, family: net.isIP(address) })),
    );

async function reached(port: number, ...addresses: string[]): Promise<string | undefined> {
  const socket = await connectTcp({ host: "host.test", port, withinMs: 20_000 }, named(...addresses));
  const { remoteAddress } = socket;
  socket.on("error", () => undefined).destroy();
  return remoteAddress;
}

const errorOf = (work: Promise<unknown>) =>
  work.then(
    () => "connected",
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );

test("an address without a route does not keep the next one from being tried, in either order", async () => {
  const port = await listening("127.0.0.1");

  expect(await reached(port, "2001:db8::1", "127.0.0.1")).toBe("127.0.0.1");
  expect(await reached(port, "127.0.0.1", "2001:db8::1")).toBe("127.0.0.1");
});

test("an address that refuses is followed by the next one at once", async () => {
  const port = await listening("127.0.0.2");

  expect(await reached(port, "127.0.0.1", "127.0.0.2")).toBe("127.0.0.2");
});

test("when every address fails, the error is of one that has a route", async () => {
  const port = await listening("127.0.0.1");
  const refused = connectTcp({ host: "host.test", port, withinMs: 20_000 }, named("2001:db8::1", "127.0.0.3"));

  expect(await errorOf(refused)).toBe("ECONNREFUSED");
});

test("a name without an address is not found", async () => {
  expect(await errorOf(connectTcp({ host: "host.test", port: 1, withinMs: 20_000 }, named()))).toBe("ENOTFOUND");
});

test("a lookup that never ends is ended by the connect limit and by the stop signal", async () => {
  const never = () => undefined;
  const stop = new AbortController();
  const stopped = errorOf(connectTcp({ host: "host.test", port: 1, withinMs: 20_000, stop: stop.signal }, never));
  stop.abort();

  expect(await errorOf(connectTcp({ host: "host.test", port: 1, withinMs: 1 }, never))).toBe("ETIMEDOUT");
  expect(await stopped).toBe("stopped");
});
