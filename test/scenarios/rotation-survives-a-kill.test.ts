import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { childEnvironment } from "../harness/child-environment.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";

/**
 * Each redemption replaces the refresh token. The program is killed from outside around that moment; whatever
 * it left, the next run must sign in. The simulator keeps replaced tokens valid, as Microsoft does, so this
 * proves that no torn or empty file is left and that a stored token is a whole one; it does not prove what a
 * service would do that revokes the old token at once.
 */

let simulator: Simulator;
let folder: string;
let secrets: string;

beforeAll(async () => {
  simulator = await startSimulator({ warn: () => undefined });
});
afterAll(() => simulator.stop());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rotation-"));
  secrets = join(folder, "state", "secrets");
  mkdirSync(secrets, { recursive: true, mode: 0o700 });
});
afterEach(async () => {
  await control("clear-faults", {});
  rmSync(folder, { recursive: true, force: true });
});

function control(action: string, body: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = http.request(`${simulator.ready.control_url}/${action}`, { method: "POST" }, (answer) => {
      answer
        .resume()
        .on("end", () =>
          answer.statusCode === 200 ? resolve() : reject(new Error(`${action}: ${answer.statusCode}`)),
        );
    });
    request.on("error", reject).end(JSON.stringify(body));
  });
}

const customer = () => simulator.ready.customers[0]!;
const issued = (): number => [...simulator.control.world.customers.values()][0]!.counters.tokenRequests;

function start(): ChildProcess {
  const { ready } = simulator;
  const who = ["--tenant-id", customer().tenant_id, "--tenant-name", "contoso", "--client-id", customer().client_id];
  const where = [
    "--login-url",
    ready.login_url,
    "--graph-url",
    ready.graph_url,
    "--ca-file",
    ready.ca_file,
    "--state",
    join(folder, "state"),
  ];
  return spawn(
    process.execPath,
    [join(import.meta.dirname, "../../src/main/main.ts"), "token", "access", ...who, ...where],
    {
      env: childEnvironment({
        HOME: folder,
        DEFENDER_MSSP_CLIENT_SECRET: customer().client_secret,
        DEFENDER_MSSP_REFRESH_TOKEN: customer().refresh_token,
      }),
      stdio: "ignore",
    },
  );
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once("exit", (code) => resolve(code)));
}

const storedToken = (): string | undefined => {
  const name = readdirSync(secrets).find((file) => file.endsWith(".token.json"));
  return name === undefined
    ? undefined
    : (JSON.parse(readFileSync(join(secrets, name), "utf8")) as { values: { refresh_token: string } }).values
        .refresh_token;
};

interface Moment {
  /** Resolves when it has come. */
  readonly comes: () => Promise<void>;
  readonly arrange?: () => Promise<void>;
}

/** When to kill, as something that can be waited for. */
const moments: readonly (readonly [string, Moment])[] = [
  [
    "while the answer with the new token is on its way",
    {
      async comes() {
        const before = issued();
        while (issued() === before) await new Promise((resolve) => setTimeout(resolve, 20));
      },
      arrange: () => control("fault", { on: ["token"], answer: { delay_ms: 3000 } }),
    },
  ],
  ["when the new token is being written", { comes: () => happens((file) => file?.endsWith(".new") === true) }],
  [
    "when the new token has just been put in its place",
    { comes: () => happens((file) => file?.endsWith(".token.json") === true && existsSync(join(secrets, file))) },
  ],
];

function happens(is: (file: string | null) => boolean): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(secrets, (_, file) => {
      if (!is(file)) return;
      watcher.close();
      resolve();
    });
  });
}

test.each(moments)(
  "killed %s, the next run signs in and keeps a whole token",
  async (_, { comes, arrange }) => {
    await arrange?.();
    const reached = comes();
    const child = start();
    const end = ended(child);
    await Promise.race([reached, end]);
    child.kill("SIGKILL");
    await end;
    await control("clear-faults", {});

    expect(await ended(start())).toBe(0);
    expect(storedToken()).toMatch(/^1\.A\S{1000,}$/);
    expect(await ended(start())).toBe(0);
  },
  300_000,
);
