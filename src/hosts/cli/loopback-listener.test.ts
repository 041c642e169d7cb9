import http from "node:http";
import { expect, test } from "@jest/globals";
import { freePort } from "../../../test/harness/free-port.ts";
import { listenOnLoopback } from "./loopback-listener.ts";

const STATE = "s3cr3t-state";

/** Opens a listener whose five minutes end when the test says so. */
async function open() {
  const port = await freePort();
  const pauses: number[] = [];
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  const pause = (forMs: number): Promise<void> => {
    pauses.push(forMs);
    return over;
  };
  const listener = await listenOnLoopback(`http://localhost:${port}/back`, STATE, pause, 0);
  return { port, pauses, end, listener };
}

/**
 * The status of an answer with its page, or the error's code. `agent` keeps a connection for a second request
 * on it.
 */
function ask(port: number, host = "127.0.0.1", agent: http.Agent | false = false): Promise<string> {
  return new Promise((resolve) => {
    const path = `/back?code=1.A<script>&state=${STATE}`;
    http
      .get({ host, port, path, headers: { host: `localhost:${port}` }, agent }, (answer) => {
        let page = "";
        answer.on("data", (piece) => (page += piece)).on("end", () => resolve(`${answer.statusCode} ${page}`));
      })
      .on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

test("binds 127.0.0.1 and nothing wider: another address of this machine is refused", async () => {
  const { port, listener } = await open();
  // 127.0.0.2 reaches a socket that is bound to every address, and none that is bound to 127.0.0.1.
  const elsewhere = await ask(port, "127.0.0.2");
  listener.close();
  expect(elsewhere).toMatch(/^(ECONNREFUSED|EADDRNOTAVAIL|ETIMEDOUT|ENETUNREACH)$/);
});

test("answers once, with a page that repeats nothing of the request", async () => {
  const { port, listener } = await open();
  const [first, second] = await Promise.all([ask(port), ask(port)]);
  const later = await ask(port);

  const good = [first, second].filter((answer) => answer.startsWith("200 "));
  expect(good).toHaveLength(1);
  expect(good[0]).not.toMatch(/script|1\.A|s3cr3t/);
  expect(later).toMatch(/^ECONN/);
  expect(await listener.landed).toBe(`http://localhost:${port}/back?code=1.A<script>&state=${STATE}`);
});

test("lives five minutes and says that nobody came", async () => {
  const { port, pauses, end, listener } = await open();
  expect(pauses).toEqual([300_000]);
  end();
  await expect(listener.landed).rejects.toMatchObject({ code: "sign-in-timed-out" });
  expect(await ask(port)).toMatch(/^ECONN/);
});
