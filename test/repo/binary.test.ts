import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { binaryPath, hostPlatform } from "../../scripts/build/platforms.ts";
import { checkLibraries } from "../../scripts/build-binaries.ts";
import { makeServerCertificate } from "../harness/simulator/certificates.ts";

const platform = hostPlatform() ?? "linux-x64";
const binary = resolve(import.meta.dirname, "../..", binaryPath(platform));

beforeAll(() => {
  if (!existsSync(binary))
    throw new Error(`${binaryPath(platform)} is missing: "npm test" builds it, or "npm run build:binaries"`);
});

function scheme(environment: Readonly<Record<string, string>>, cwd?: string) {
  const { status, stdout, stderr } = spawnSync(binary, ["--scheme"], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"] ?? "", ...environment },
    ...(cwd === undefined ? {} : { cwd }),
  });
  return { status, stdout, stderr };
}

describe("the built binary", () => {
  test("prints its scheme and nothing on stderr, which splunkd would log as an error", () => {
    const { status, stdout, stderr } = scheme({});

    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^(<\?xml[^>]*>\s*)?<scheme>[\s\S]*<\/scheme>\s*$/);
  });

  test.each([
    "--require /nonexistent",
    "--inspect=0",
    "--max-old-space-size=1",
    "--import data:text/javascript,process.exit(9)",
  ])("is not changed by NODE_OPTIONS=%s", (options) => {
    const { status, stdout } = scheme({ NODE_OPTIONS: options });

    expect({ status, stdout }).toEqual({ status: 0, stdout: scheme({}).stdout });
  });

  test.each(["does not exist", "is not a configuration", "never ends"])(
    "is not changed by an OPENSSL_CONF whose file %s",
    (what) => {
      const folder = mkdtempSync(join(tmpdir(), "openssl-"));
      try {
        const file = join(folder, "openssl.cnf");
        if (what === "is not a configuration") writeFileSync(file, "nonsense\n[also\n");
        if (what === "never ends") spawnSync("mkfifo", [file]);

        expect(scheme({ OPENSSL_CONF: file })).toEqual(scheme({}));
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );

  test("trusts no authority because of NODE_USE_SYSTEM_CA, SSL_CERT_FILE or SSL_CERT_DIR", async () => {
    const folder = mkdtempSync(join(tmpdir(), "trust-"));
    const shown = await makeServerCertificate(Date.now());
    const server = https.createServer({ key: shown.keyPem, cert: shown.certificatePem }, (_, response) => {
      response.end("{}");
    });
    try {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const file = join(folder, "ca.pem");
      writeFileSync(file, shown.caPem);
      const config = join(folder, "one.properties");
      writeFileSync(
        config,
        [
          "tenants[0].tenant_id=11111111-1111-4111-8111-111111111111",
          "tenants[0].client_id=22222222-2222-4222-8222-222222222222",
          "tenants[0].client_secret=worthless",
          `tenants[0].login_url=https://localhost:${port}`,
        ].join("\n"),
      );
      const environment = { NODE_USE_SYSTEM_CA: "1", SSL_CERT_FILE: file, SSL_CERT_DIR: folder };
      const child = spawn(binary, ["doctor", "--config", config, "--state", join(folder, "state"), "--json"], {
        env: { PATH: process.env["PATH"] ?? "", ...environment },
        stdio: ["ignore", "pipe", "ignore"],
      });
      let text = "";
      child.stdout.on("data", (piece: Buffer) => (text += piece.toString()));
      await once(child, "close");

      expect(text).toContain('"tls-untrusted"');
    } finally {
      server.close();
      rmSync(folder, { recursive: true });
    }
  });

  test("says in one line that the folder it was started in is gone", () => {
    const folder = mkdtempSync(join(tmpdir(), "gone-"));
    const { status, stderr } = spawnSync(
      "sh",
      ["-c", 'cd "$1" && rmdir "$1" && exec "$2" doctor --all', "sh", folder, binary],
      { encoding: "utf8", env: { PATH: process.env["PATH"] ?? "" } },
    );

    expect({ status, stderr }).toEqual({
      status: 5,
      stderr: expect.stringMatching(
        /^ERROR The folder in which this command was started does not exist any more\. .*\n$/,
      ),
    });
  });

  test("needs no library beyond glibc and the C++ runtime", () => {
    expect(() => checkLibraries(readFileSync(binary))).not.toThrow();
  });

  test("writes nothing into the folder it is started in", () => {
    const folder = mkdtempSync(join(tmpdir(), "started-in-"));
    try {
      expect(scheme({ HOME: folder }, folder).status).toBe(0);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
