import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, test } from "@jest/globals";
import { APIS, BrokerConnection } from "./kafka-connection.ts";

/** An answer to ApiVersions 3: this broker knows Metadata up to 12. */
function versionsAnswer(request: Buffer): Buffer {
  const answer = Buffer.alloc(23);
  answer.writeInt32BE(19, 0);
  request.copy(answer, 4, 8, 12);
  // No error, and an array of one, whose length is written with one added.
  answer.writeUInt8(2, 10);
  answer.writeInt16BE(3, 11);
  answer.writeInt16BE(12, 15);
  return answer;
}

test("a close ends at once what a broker no longer reads", async () => {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (request) => {
      socket.write(versionsAnswer(request));
      socket.pause();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const connection = await BrokerConnection.open(
    { host: "127.0.0.1", port, protocol: "tcp" },
    { brokers: [], protocol: "tcp", sasl: "none", requestMs: 5_000 },
    "collector",
    new AbortController().signal,
  );
  const asked = connection.ask(APIS.metadata, ["x".repeat(32 << 20)], false, false).catch(String);
  connection.close();
  expect(await asked).toContain("Connection closed");
  server.close();
});
