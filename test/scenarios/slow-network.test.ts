/**
 * A network that answers after 400 ms, in a network namespace of its own: a tun device and a reflector that
 * returns each packet after 200 ms. Needs Linux, root and perl; elsewhere the test names itself skipped.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { describe, expect, jest, test } from "@jest/globals";

// The bound for a busy machine: the process inside ends by itself.
jest.setTimeout(600_000);

const HARNESS = path.resolve(import.meta.dirname, "../harness/slow-network");
const HOST = "graph.microsoft.com";
const SLOW_IPV4 = "10.99.0.2";
const EVERYTHING_REACHED = {
  "Microsoft or splunkd": "reached",
  "through a proxy": "reached",
  "an output over tcp": "reached",
  "an output over tls": "reached",
};

function inSlowNetwork(hosts: readonly string[], environment: Readonly<Record<string, string>>, command: string[]) {
  const folder = mkdtempSync(join(tmpdir(), "slow-network-"));
  try {
    const file = join(folder, "hosts");
    writeFileSync(file, `${hosts.map((address) => `${address} ${HOST}`).join("\n")}\n`);
    return spawnSync("unshare", ["--net", "--mount", "sh", join(HARNESS, "namespace.sh"), file, ...command], {
      encoding: "utf8",
      env: { PATH: process.env["PATH"] ?? "", ...environment },
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function outcomes(hosts: readonly string[], environment: Readonly<Record<string, string>> = {}): unknown {
  const visit = [process.execPath, "--no-warnings", join(HARNESS, "main.ts"), HOST];
  const { status, stdout, stderr } = inSlowNetwork(hosts, environment, visit);
  if (status !== 0) throw new Error(`the visit ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

const available = process.platform === "linux" && inSlowNetwork([SLOW_IPV4], {}, ["true"]).status === 0;
const title = available ? "" : " (skipped: no network namespace, tun device or perl here, or not root)";
const where = available ? describe : describe.skip;

where(`a host that takes 400 ms to connect is reached, everywhere a connection is opened${title}`, () => {
  test("when its name has an IPv6 address as well, and this machine has only link-local IPv6", () => {
    expect(outcomes([SLOW_IPV4, "2001:db8::1"])).toEqual(EVERYTHING_REACHED);
  });

  test("when its name has several IPv4 addresses", () => {
    expect(outcomes([SLOW_IPV4, "10.99.0.3"])).toEqual(EVERYTHING_REACHED);
  });

  test("when its IPv6 address is preferred and never answers", () => {
    expect(outcomes(["fd00:99::2", SLOW_IPV4], { IPV6: "silent" })).toEqual(EVERYTHING_REACHED);
  });
});
