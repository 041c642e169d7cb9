import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import * as whole from "undici";
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
