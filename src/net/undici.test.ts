import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { expect, jest, test } from "@jest/globals";
import * as whole from "undici";
import api, { type RequestHandler } from "undici/lib/api/index.js";
import { loadUndici } from "./undici.ts";

test("the parts of undici are those of its index, and dispatchers have their methods", async () => {
  const { Agent, Pool, buildConnector } = await loadUndici();

  expect(Agent).toBe(whole.Agent);
  expect(Pool).toBe(whole.Pool);
  expect(buildConnector).toBe(whole.buildConnector);
});

test("to send requests loads neither fetch nor mocks, and a dispatcher can send and connect", () => {
  const program = `
    import { createRequire } from "node:module";
    import { loadUndici } from "./undici.ts";
    const { Agent, Pool } = await loadUndici();
    const files = Object.keys(createRequire(import.meta.url).cache).map((file) => file.replaceAll("\\\\", "/"));
    console.log(JSON.stringify({
      dispatcher: files.some((file) => file.endsWith("undici/lib/dispatcher/agent.js")),
      extra: files.filter((file) => /undici\\/(index\\.js|lib\\/(mock|web\\/(fetch|websocket|cache)))/.test(file)),
      methods: [typeof new Agent().request, typeof new Pool("https://localhost").connect],
    }));`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });

  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual({ dispatcher: true, extra: [], methods: ["function", "function"] });
});

test("a request whose answer has closed holds nothing of it, and until then it can be given up", async () => {
  const { Agent } = await loadUndici();
  const handlers: RequestHandler[] = [];
  const { prototype } = api.request.RequestHandler;
  const { onResponseStart } = prototype;
  const started = jest.spyOn(prototype, "onResponseStart").mockImplementation(function seen(
    this: RequestHandler,
    ...given
  ) {
    handlers.push(this);
    onResponseStart.apply(this, given);
  });
  const server = createServer((request, answer) => {
    answer.write("some");
    if (request.url === "/whole") answer.end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const agent = new Agent();
  const stop = new AbortController();
  try {
    const { body } = await agent.request({ origin, path: "/whole", method: "GET" });
    expect(await body.text()).toBe("some");
    const unfinished = await agent.request({ origin, path: "/part", method: "GET", signal: stop.signal });
    stop.abort(new Error("given up"));
    await expect(unfinished.body.text()).rejects.toThrow("given up");
    await yieldToEventLoop();
    expect(handlers.map(({ res, controller, abort }) => ({ res, controller, abort }))).toEqual([
      { res: null, controller: null, abort: null },
      { res: null, controller: null, abort: null },
    ]);
  } finally {
    started.mockRestore();
    await agent.destroy();
    server.closeAllConnections();
    server.close();
  }
});
