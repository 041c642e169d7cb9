import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PeerCertificate } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import {
  type Awkward,
  type AwkwardCertificate,
  lifetime,
  makeAwkwardCertificate,
} from "../../../test/harness/awkward-certificates.ts";
import { FakeClock, settled } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import type { Failure } from "../../model/failure.ts";
import { isFailure } from "../../model/failure.ts";
import type { Http } from "../../model/ports.ts";
import { sealed } from "../../model/sealed.ts";
import { createHttp } from "../../net/http.ts";
import { ConnectFailure, networkFailure } from "../../net/network-failures.ts";
import { Splunkd, splunkdLogin } from "./splunkd.ts";

const DAY_MS = 86_400_000;
const RENEW =
  "Renew splunkd's certificate: rename $SPLUNK_HOME/etc/auth/server.pem and restart Splunk, which makes a new one. If serverCert in server.conf names a certificate of your own, replace that file and restart Splunk.";
const THREE_YEARS = 1095;

let folder: string;
const closers: (() => unknown)[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "splunkd-"));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Shown {
  readonly certificate: AwkwardCertificate;
  /** What the server sends; its own certificate alone when absent. */
  readonly chain?: string;
  readonly trusted?: string;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** A splunkd that shows this certificate and answers everything alike. */
async function splunkdWith(
  { certificate, chain = certificate.certificatePem, trusted = certificate.caPem }: Shown,
  answer: Answer = { status: 200, text: '{"sessionKey":"k"}' },
) {
  const seen: (string | undefined)[] = [];
  const server = https.createServer(
    { key: certificate.keyPem, cert: chain, ciphers: "DEFAULT@SECLEVEL=0" },
    (request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(answer.status).end(answer.text);
    },
  );
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const splunkdCaFile = join(folder, `${Math.random()}.pem`);
  writeFileSync(splunkdCaFile, trusted);
  const http = createHttp({ environment: {} });
  closers.push(() => http.close());
  const log = new FakeLog();
  const options = {
    http,
    clock: new FakeClock(Date.now(), { pauses: "pass" }),
    serverUri: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    splunkdCaFile,
    splunkHome: undefined,
    log,
  };
  return { options, log, seen };
}

const get = (
  options: ConstructorParameters<typeof Splunkd>[0] | Omit<ConstructorParameters<typeof Splunkd>[0], "sessionKey">,
) => new Splunkd({ ...options, sessionKey: sealed("key") }).get("/services/server/info");

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  try {
    await work;
  } catch (error) {
    if (isFailure(error)) return error;
    throw error;
  }
  throw new Error("nothing failed");
}

const expiredYesterday = (what: Awkward = "nothing") => makeAwkwardCertificate(what, lifetime(THREE_YEARS, -1));

describe("splunkd's own certificate expired yesterday", () => {
  test("on this machine the requests go on, after one warning that names the date and how to renew it", async () => {
    const { options, log } = await splunkdWith({ certificate: await expiredYesterday() });
    const splunkd = new Splunkd({ ...options, sessionKey: sealed("key") });

    expect((await splunkd.get("/services/server/info")).status).toBe(200);
    expect((await splunkd.post("/services/server/info", {})).status).toBe(200);

    const yesterday = new Date(Date.now() - DAY_MS).toISOString().slice(0, 10);
    expect(log.lines).toEqual([
      {
        level: "warn",
        message: `splunkd's certificate expired on ${yesterday}. It is accepted, because splunkd is on this machine`,
        fields: { next_step: RENEW },
      },
    ]);
  });

  test("a login goes on as well", async () => {
    const { options, log } = await splunkdWith({ certificate: await expiredYesterday() });
    const key = await splunkdLogin(options, "admin", sealed("password"));
    expect(key.open((text) => text)).toBe("k");
    expect(log.lines).toHaveLength(1);
  });

  test("behind an intermediate authority that splunkd sends along, its root is enough", async () => {
    const certificate = await expiredYesterday("intermediate authority");
    const chain = certificate.certificatePem + certificate.caPem;
    const { options } = await splunkdWith({ certificate, chain, trusted: certificate.rootPem });
    expect((await get(options)).status).toBe(200);
  });

  test("in the CA file itself, it is trusted as it was before", async () => {
    const certificate = await expiredYesterday();
    const { options } = await splunkdWith({ certificate, trusted: certificate.certificatePem });
    expect((await get(options)).status).toBe(200);
  });

  test("elsewhere it is refused with the date, and no key is sent", async () => {
    const endsMs = Date.now() - DAY_MS;
    const asked: boolean[] = [];
    const http: Http = {
      send(request) {
        asked.push(request.route.acceptExpired === true);
        const over = Object.assign(new Error("certificate has expired"), { code: "CERT_HAS_EXPIRED" });
        const certificate = { valid_to: new Date(endsMs).toUTCString() } as PeerCertificate;
        return Promise.reject(networkFailure(new ConnectFailure(over, { certificate }), { host: "splunk.example" }));
      },
      close: () => Promise.resolve(),
    };
    const log = new FakeLog();
    const failure = await failureOf(
      get({
        http,
        clock: new FakeClock(Date.now(), { pauses: "pass" }),
        serverUri: "https://splunk.example:8089",
        splunkdCaFile: "/ca.pem",
        splunkHome: undefined,
        log,
      }),
    );

    expect(failure).toMatchObject({
      code: "splunkd-untrusted",
      actor: "operator",
      retry: { when: "never" },
      say: `splunkd's certificate expired on ${new Date(endsMs).toISOString().slice(0, 10)}. No session key is sent. splunkd_ca_file does not help.`,
      nextStep: RENEW,
    });
    expect({ asked, warned: log.lines }).toEqual({ asked: [false], warned: [] });
  });
});

describe("an expired certificate on this machine is accepted only if everything else is right:", () => {
  test("another authority's is refused, and the session key is not sent", async () => {
    const other = await expiredYesterday();
    const { options, seen } = await splunkdWith({ certificate: await expiredYesterday(), trusted: other.caPem });
    expect((await failureOf(get(options))).code).toBe("splunkd-untrusted");
    expect(seen).toEqual([]);
  });

  test.each(["1024-bit key", "SHA-1 signature", "1024-bit authority", "client's purpose"] as const)(
    "%s is refused",
    async (what) => {
      const { options, seen } = await splunkdWith({ certificate: await expiredYesterday(what) });
      expect((await failureOf(get(options))).code).toBe("splunkd-untrusted");
      expect(seen).toEqual([]);
    },
  );

  test("an intermediate authority without its root in the CA file is refused", async () => {
    const certificate = await expiredYesterday("intermediate authority");
    const other = await expiredYesterday();
    const chain = certificate.certificatePem + certificate.caPem;
    const { options } = await splunkdWith({ certificate, chain, trusted: other.caPem });
    expect((await failureOf(get(options))).code).toBe("splunkd-untrusted");
  });

  test("a server's certificate in the CA's place is refused, although the CA vouches for it", async () => {
    const certificate = await expiredYesterday("intermediate without the right to issue");
    const chain = certificate.certificatePem + certificate.caPem;
    const { options, seen } = await splunkdWith({ certificate, chain, trusted: certificate.rootPem });
    expect((await failureOf(get(options))).code).toBe("splunkd-untrusted");
    expect(seen).toEqual([]);
  });

  test("one that is not valid yet is refused", async () => {
    const certificate = await makeAwkwardCertificate("nothing", lifetime(-1, 30));
    const { options } = await splunkdWith({ certificate });
    expect((await failureOf(get(options))).code).toBe("splunkd-untrusted");
  });
});

describe("a request that splunkd answers with 403 names the capability that is missing:", () => {
  const refusing = async (text: string): Promise<Splunkd> => {
    const { options } = await splunkdWith(
      { certificate: await makeAwkwardCertificate("nothing") },
      { status: 403, text },
    );
    return new Splunkd({ ...options, sessionKey: sealed("key") });
  };
  const INPUT = "/servicesNS/nobody/search/data/inputs/defender_mssp/contoso";
  const STORE = "/servicesNS/nobody/TA_defender_mssp/storage/passwords";

  test.each([
    [
      "to read an input",
      "list_inputs",
      ", and write access to the input's app",
      (splunkd: Splunkd) => splunkd.get(INPUT),
    ],
    [
      "to edit an input",
      "admin_all_objects",
      ", and write access to the input's app",
      (splunkd: Splunkd) => splunkd.post(INPUT, { client_secret: "********" }),
    ],
    [
      "to read its credential store",
      "list_storage_passwords",
      "",
      (splunkd: Splunkd) => splunkd.get(`${STORE}?count=500`),
    ],
    [
      "to write to its credential store",
      "edit_storage_passwords",
      "",
      (splunkd: Splunkd) => splunkd.post(STORE, { name: "a" }),
    ],
    [
      "to write to its credential store",
      "edit_storage_passwords",
      "",
      (splunkd: Splunkd) => splunkd.delete(`${STORE}/a`),
    ],
  ])("%s: %s, by Splunk's documentation", async (what, capability, more, ask) => {
    expect(await failureOf(ask(await refusing("<response/>")))).toMatchObject({
      code: "splunkd-forbidden",
      actor: "operator",
      say: `splunkd does not allow this program ${what} (403): the capability ${capability} is missing.`,
      nextStep: `Give the user that owns the input the capability \`${capability}\`${more}.`,
    });
  });

  test.each([
    "/servicesNS/nobody/TA_defender_mssp/storage/collections/data/defender_mssp_status",
    "/servicesNS/nobody/TA_defender_mssp/configs/conf-defender_mssp_requests",
  ])("none for what the pages use: access to the app (%s)", async (path) => {
    expect(await failureOf((await refusing("<response/>")).getOnce(path))).toMatchObject({
      code: "splunkd-forbidden",
      say: "splunkd does not allow this program to read what the pages in Splunk Web ask and show (403).",
      nextStep: "Give the user that owns the input write access to the app TA_defender_mssp.",
    });
  });

  test("the one that splunkd's answer names, and nothing else of it", async () => {
    const text =
      '<msg type="ERROR">You (user=mssp) do not have permission to perform this operation (requires capability: edit_modinput_defender_mssp). Body: hunter2</msg>';
    const failure = await failureOf((await refusing(text)).post(INPUT, {}));
    expect(failure.nextStep).toContain("the capability `edit_modinput_defender_mssp`");
    expect(`${failure.stack}${failure.say}${failure.nextStep}`).not.toMatch(/hunter2|user=mssp/);
  });
});

describe("a stop while splunkd does not answer", () => {
  /** A network that answers nothing; the ends of its requests are the signal's. */
  function hanging() {
    const stop = new AbortController();
    const http: Http = {
      send: ({ signal, url }) =>
        new Promise((_, reject) => {
          const end = () => reject(networkFailure(undefined, { host: url, givenUp: "stopped" }));
          signal?.addEventListener("abort", end, { once: true });
        }),
      close: () => Promise.resolve(),
    };
    const splunkd = new Splunkd({
      http,
      clock: new FakeClock(),
      serverUri: "http://127.0.0.1:8089",
      sessionKey: sealed("k"),
      splunkdCaFile: undefined,
      splunkHome: "/opt/splunk",
      stop: stop.signal,
    });
    return { splunkd, stop };
  }

  test.each<[string, (splunkd: Splunkd) => Promise<unknown>]>([
    ["a read of the whole store", (splunkd) => splunkd.getUntilStop("/x")],
    ["a look", (splunkd) => splunkd.getOnce("/x")],
    ["a save of rows", (splunkd) => splunkd.postJsonOnce("/x", [])],
    ["a deletion of a row", (splunkd) => splunkd.deleteOnce("/x")],
  ])("ends %s at once", async (_, request) => {
    const { splunkd, stop } = hanging();
    const sent = request(splunkd);
    stop.abort();
    await expect(sent).rejects.toMatchObject({ code: "stopped" });
  });

  test.each<[string, (splunkd: Splunkd) => Promise<unknown>]>([
    ["a read for an edit", (splunkd) => splunkd.get("/x")],
    ["an edit or a chunk of a secret", (splunkd) => splunkd.post("/x", {})],
    ["a deletion of an old chunk", (splunkd) => splunkd.delete("/x")],
  ])("does not end %s, which this program finishes", async (_, request) => {
    const { splunkd, stop } = hanging();
    let hasEnded = false;
    const end = () => {
      hasEnded = true;
    };
    request(splunkd).then(end, end);
    stop.abort();
    await settled();
    expect(hasEnded).toBe(false);
  });
});
