import { timingSafeEqual } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import * as https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { makeAppCertificate } from "../../test/harness/app-certificate.ts";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { customerStatus, outputStatus, streamStatus } from "../../test/harness/monitoring/status.ts";
import { isFailure } from "../model/failure.ts";
import { sealed } from "../model/sealed.ts";
import type { CollectorStatus } from "../model/status.ts";
import type { RunningServer, ServedAnswer } from "../net/http-server.ts";
import { MonitoringAnswers, type MonitoringParts, type MonitoringSettings, startMonitoring } from "./monitoring.ts";

const TOKEN = "t0ken-of-the-scraper-0123456789";
const CALLED = {
  server: "metrics",
  listen: "metrics.listen",
  certificate: "metrics.certificate",
  secret: "metrics.token",
};
const COLLECTING: CollectorStatus = {
  customers: [
    customerStatus("Contoso", { streams: [streamStatus({ new: 3 })] }),
    customerStatus("Fabrikam 😀", { tenantId: "", streams: [streamStatus({ state: "signed-out" })] }),
  ],
  outputs: [outputStatus({ state: "down", spoolBytes: 10, oldestS: 5 })],
};

function parts(options: Partial<MonitoringParts> & { readonly status?: CollectorStatus | undefined } = {}) {
  const log = new FakeLog();
  const clock = new FakeClock();
  const { status: given = COLLECTING, ...rest } = options;
  const status = "status" in options ? options.status : given;
  return {
    name: "collector-1",
    version: "1.2.3",
    watched: { isReady: () => status !== undefined, status: () => status },
    clock,
    log,
    process: () => ({ residentBytes: 1, heapUsedBytes: 1, cpuS: 1, startedAtS: 1 }),
    ...rest,
  };
}

function answersOf(p = parts(), token: string | null = TOKEN): MonitoringAnswers {
  return new MonitoringAnswers({ host: "127.0.0.1", ...(token === null ? {} : { secret: sealed(token) }) }, p);
}

async function textOf(answer: ServedAnswer): Promise<string> {
  let text = "";
  for await (const piece of answer.body) text += piece;
  return text;
}

function ask(target: string, headers: Readonly<Record<string, string>> = {}, method = "GET") {
  return { method, target, headers: { host: "127.0.0.1:9464", ...headers }, body: "" };
}

/** What is watched, and how often its reports were read. */
function counted() {
  let reads = 0;
  const status = () => {
    reads += 1;
    return COLLECTING;
  };
  return { watched: { isReady: () => true, status }, reads: () => reads };
}

const BEARER = { authorization: `Bearer ${TOKEN}` };

describe("what is answered", () => {
  test("/status is the JSON of the contract, with the members of health events for each stream", async () => {
    const answer = await answersOf().answer(ask("/status", BEARER));
    expect(answer.status).toBe(200);
    const { delivered: _d, answers: _a, retries: _r, ...health } = streamStatus({ new: 3 });
    expect(JSON.parse(await textOf(answer))).toEqual({
      version: "1.2.3",
      collectors: [{ name: "collector-1", version: "1.2.3", alive: true, customers: 2 }],
      customers: [
        {
          tenant: "Contoso",
          tenant_id: "11111111-2222-4333-8444-555555555555",
          collector: "collector-1",
          streams: [health],
        },
        {
          tenant: "Fabrikam 😀",
          tenant_id: "",
          collector: "collector-1",
          streams: [{ ...health, new: 0, state: "signed-out" }],
        },
      ],
      outputs: [
        {
          name: "outputs[0]",
          type: "syslog",
          state: "down",
          spool_bytes: 10,
          oldest_s: 5,
          unconfirmed: null,
          rejected: 0,
        },
      ],
    });
  });

  test("/metrics is Prometheus' text format with its content type", async () => {
    const answer = await answersOf().answer(ask("/metrics", BEARER));
    expect(answer.headers?.["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await textOf(answer)).toContain('defender_mssp_stream_lag_seconds{customer="Contoso",stream="alerts"} 12');
  });

  test("/metrics and /status answer 401 without the token, with a wrong one, and with a part of it", async () => {
    for (const target of ["/metrics", "/status", "/status?token=x"])
      for (const authorization of ["", "Bearer", "Bearer wrong", `Bearer ${TOKEN.slice(0, -1)}`, `Basic ${TOKEN}`]) {
        const answer = await answersOf().answer(ask(target, { authorization }));
        expect([authorization, answer.status]).toEqual([authorization, 401]);
        expect(answer.headers?.["www-authenticate"]).toBe("Bearer");
        expect(await textOf(answer)).not.toContain("Contoso");
      }
  });

  test("the token is compared by digests of one length, whatever the client sent", async () => {
    const compared: (readonly [number, number])[] = [];
    const isEqual = (one: Uint8Array, other: Uint8Array) => {
      compared.push([one.length, other.length]);
      return timingSafeEqual(one, other);
    };
    const answers = answersOf(parts({ isEqual }));
    for (const token of ["", "x", "x".repeat(10_000), TOKEN])
      await answers.answer(ask("/status", { authorization: `Bearer ${token}` }));
    expect(compared).toEqual([
      [32, 32],
      [32, 32],
      [32, 32],
      [32, 32],
    ]);
  });

  test("the health paths need no token and name nobody", async () => {
    for (const path of ["/healthz/live", "/healthz/ready"]) {
      const answer = await answersOf().answer(ask(path));
      expect([path, answer.status, await textOf(answer)]).toEqual([path, 200, "ok\n"]);
    }
  });

  test("before the customers are open the program is alive, not ready, and its status has no customer", async () => {
    const answers = answersOf(parts({ status: undefined }));
    expect((await answers.answer(ask("/healthz/live"))).status).toBe(200);
    expect((await answers.answer(ask("/healthz/ready"))).status).toBe(503);
    const status = await answers.answer(ask("/status", BEARER));
    expect(JSON.parse(await textOf(status))).toMatchObject({ customers: [], collectors: [{ customers: 0 }] });
    const metrics = await answers.answer(ask("/metrics", BEARER));
    expect(await textOf(metrics)).toContain("\ndefender_mssp_ready 0\n");
  });

  test("without a token only names of this machine are answered, so that no web page reads customers' names", async () => {
    const answers = answersOf(parts(), null);
    expect((await answers.answer(ask("/status", { host: "rebound.example.com" }))).status).toBe(421);
    expect((await answers.answer(ask("/status", { host: "localhost:9464" }))).status).toBe(200);
  });

  test("other paths answer 404, other methods 405, and each refusal is logged once", async () => {
    const log = new FakeLog();
    const answers = answersOf(parts({ log }));
    expect((await answers.answer(ask("/"))).status).toBe(404);
    expect((await answers.answer(ask("/metrics", BEARER, "POST"))).status).toBe(405);
    expect((await answers.answer(ask("/status"))).isExpected).toBeUndefined();
    expect((await answers.answer(ask("/status"))).isExpected).toBe(true);
  });

  test("scrapes within one second read the reports once, and the next one reads them again", async () => {
    const clock = new FakeClock();
    const { watched, reads } = counted();
    const answers = answersOf(parts({ clock, watched }));
    await Promise.all([1, 2, 3].map(() => answers.answer(ask("/metrics", BEARER))));
    expect(reads()).toBe(1);
    await clock.advance(1_000);
    await answers.answer(ask("/metrics", BEARER));
    expect(reads()).toBe(2);
  });

  test("probes, and whoever has no token, do not make the program go through its customers", async () => {
    const { watched, reads } = counted();
    const answers = answersOf(parts({ watched }));
    for (const path of ["/healthz/live", "/healthz/ready", "/status", "/metrics", "/other"])
      await answers.answer(ask(path));
    expect(reads()).toBe(0);
  });

  test("a name whose character lies across two pieces of a long status arrives whole", async () => {
    for (const shift of ["", "x"]) {
      const customers = [customerStatus(`${shift}${"😀".repeat(100_000)}`)];
      const answer = await answersOf(parts({ status: { customers, outputs: [] } })).answer(ask("/status", BEARER));
      let text = "";
      for await (const piece of answer.body) text += Buffer.from(piece, "utf8").toString("utf8");
      expect(JSON.parse(text)).toMatchObject({ customers: [{ tenant: customers[0]?.tenant }] });
    }
  });
});

describe("the server", () => {
  const servers: RunningServer[] = [];
  const folders: string[] = [];
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.close()));
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });

  async function started(settings: Partial<MonitoringSettings> = {}, p = parts()): Promise<RunningServer> {
    const server = await startMonitoring({ host: "127.0.0.1", port: 0, called: CALLED, ...settings }, p);
    servers.push(server);
    return server;
  }

  async function certificateFile(): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), "monitoring-"));
    folders.push(folder);
    const { certificatePem, keyPem } = await makeAppCertificate({ name: "collector.example.com" });
    const file = join(folder, "metrics.pem");
    writeFileSync(file, `${keyPem}${certificatePem}`);
    return file;
  }

  test("a port that is in use is a Failure that names the setting", async () => {
    const first = await started();
    const port = Number(new URL(first.address).port);
    const failure = await started({ port }).catch((error: unknown) => error);
    expect(isFailure(failure) && failure.say).toBe(
      `metrics cannot listen on 127.0.0.1:${port}: another program uses this port.`,
    );
  });

  test("an address that other machines reach is never opened without certificate and token", async () => {
    const certificate = await certificateFile();
    for (const given of [{}, { certificate }, { secret: sealed(TOKEN) }]) {
      const failure = await started({ host: "0.0.0.0", ...given }).catch((error: unknown) => error);
      expect(isFailure(failure) && failure.code).toBe("settings");
    }
  });

  test("with certificate and token it answers over TLS on every address", async () => {
    const certificate = await certificateFile();
    const server = await started({ host: "0.0.0.0", certificate, secret: sealed(TOKEN) });
    const { port } = new URL(server.address);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const options = { host: "127.0.0.1", port, path: "/status", headers: BEARER, rejectUnauthorized: false };
      https.get(options, (answer) => resolve(answer.resume().statusCode)).on("error", reject);
    });
    expect(status).toBe(200);
  });
});
