/**
 * Each sign-in replaces the refresh token. The built binary is killed at every redemption it asks for, every
 * answer with a new token half sent, and every request that follows. The simulator is stricter than
 * Microsoft: as soon as an access token is used, the refresh tokens before it are refused. A crash of the
 * machine is not tested here but with the stores.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { afterEach, beforeEach, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { consult } from "../harness/oracle/main.ts";
import { refreshToken } from "../harness/simulator/identity.ts";
import { type Microsoft, type RequestKind, startMicrosoft } from "./microsoft.ts";
import { Run, type RunEnd } from "./run.ts";
import { killing } from "./stage.ts";

// The bound for a busy machine: processes are waited for by events.
jest.setTimeout(600_000);

const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
const SCENARIO = {
  name: "rotation",
  story: "Two customers whose refresh tokens are replaced at each sign-in.",
  seed: 3,
  customers: ["contoso", "fabrikam"].map((name) => ({
    name,
    generate: [{ stream: "alerts", count: 20, from: "-2h", to: "0s" }],
  })),
};

let folder: string;
let microsoft: Microsoft;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "rotation-"));
  microsoft = await startMicrosoft(SCENARIO);
});
afterEach(async () => {
  await microsoft.stop();
  rmSync(folder, { recursive: true, force: true });
});

const stateFolder = (): string => join(folder, "state");

function writeConfiguration(): string {
  const { ready } = microsoft.simulator;
  const stanzas = ready.customers.map((customer) =>
    Object.entries({
      tenant_id: customer.tenant_id,
      client_id: customer.client_id,
      client_secret: customer.client_secret,
      refresh_token: customer.refresh_token,
      login_url: ready.login_url,
      graph_url: ready.graph_url,
      ca_file: ready.ca_file,
      streams: "alerts",
    }).reduce((text, [key, value]) => `${text}${key} = ${value}\n`, `[defender_mssp://${customer.tenant_name}]\n`),
  );
  const file = join(folder, "customers.conf");
  mkdirSync(stateFolder(), { recursive: true, mode: 0o700 });
  writeFileSync(file, stanzas.join("\n"), { mode: 0o600 });
  return file;
}

/** Refresh tokens in the state folder. */
function storedTokens(): readonly string[] {
  const secrets = join(stateFolder(), "secrets");
  if (!existsSync(secrets)) return [];
  return readdirSync(secrets)
    .filter((file) => file.endsWith(".token.json"))
    .map(
      (file) =>
        (JSON.parse(readFileSync(join(secrets, file), "utf8")) as { values: { refresh_token: string } }).values
          .refresh_token,
    );
}

/**
 * From the first use of an access token on, only the refresh token that came with it is good, and it must lie
 * on the disk.
 */
function usedBeforeStored(request: IncomingMessage): readonly string[] {
  const claims = /^Bearer [^.]+\.([^.]+)\./.exec(request.headers.authorization ?? "")?.[1] ?? "";
  const { tid } = JSON.parse(Buffer.from(claims, "base64url").toString()) as { tid: string };
  const customer = [...microsoft.simulator.control.world.customers.values()].find(
    ({ identity }) => identity.tenantId === tid,
  );
  if (customer === undefined) return [`a token for the unknown tenant ${tid}`];
  const { identity, credentials } = customer;
  const newest = refreshToken({
    name: identity.name,
    generation: credentials.lastGeneration,
    clientId: identity.clientId,
  });
  credentials.revokedUpTo = credentials.lastGeneration - 1;
  return storedTokens().includes(newest)
    ? []
    : [`${identity.name}: an access token was used before the refresh token of its answer was stored`];
}

const MOMENTS: readonly (readonly [string, RequestKind, "request" | "answer"])[] = [
  ["the n-th redemption", "token", "request"],
  ["the n-th answer with a new token, half sent", "token", "answer"],
  ["the n-th request after it", "api", "request"],
  ["the n-th answer to such a request, half sent", "api", "answer"],
];

test.each(MOMENTS)(
  "after a crash at %s, the next run signs in with the token that was stored before the first use",
  async (_, kind, moment) => {
    if (!existsSync(BINARY))
      throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');
    const config = writeConfiguration();
    const outs: string[] = [];
    const unstored: string[] = [];
    const unwatch = microsoft.watch({ requested: (_n, request) => unstored.push(...usedBeforeStored(request)) }, "api");
    const startRun = async (
      n: number,
    ): Promise<{ readonly reached: boolean; readonly end: RunEnd; readonly log: readonly string[] }> => {
      const out = join(folder, `${outs.length + 1}.jsonl`);
      outs.push(out);
      const run = new Run({
        program: BINARY,
        args: ["collect", "--config", config, "--state", stateFolder()],
        environment: { HOME: folder, PATH: "/usr/bin:/bin" },
        out,
      });
      let reached = false;
      const done = microsoft.watch(
        killing(moment, n, (count) => {
          if (count !== n) return;
          reached = true;
          run.kill();
        }),
        kind,
      );
      const end = await run.ended;
      done();
      return { reached, end, log: run.log };
    };

    for (let n = 1; ; n += 1) {
      const { reached, end, log } = await startRun(n);
      if (reached) continue;
      expect({ code: end.code, said: end.code === 0 ? [] : log }).toEqual({ code: 0, said: [] });
      expect(n).toBeGreaterThan(2);
      break;
    }

    unwatch();
    expect(unstored).toEqual([]);
    const truth = join(folder, "shown.ndjson");
    writeFileSync(truth, microsoft.simulator.control.shown());
    const { totals } = await consult({ truth, delivered: outs, format: "jsonl" });
    expect(totals).toMatchObject({ shown: 40, lost: 0, stale: 0, duplicated: 0, unknown: 0 });
  },
);
