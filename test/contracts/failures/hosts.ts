import { once } from "node:events";
import { writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import * as tls from "node:tls";
import { MASK, parseStanzas } from "../../../src/config/settings.ts";
import { realTerminal } from "../../../src/hosts/cli/terminal.ts";
import { credentialId, PasswordStore } from "../../../src/hosts/splunk/passwords.ts";
import { parseDocument, readDocumentText } from "../../../src/hosts/splunk/run-document.ts";
import { resolveSecrets } from "../../../src/hosts/splunk/secrets.ts";
import { Splunkd, splunkdLogin } from "../../../src/hosts/splunk/splunkd.ts";
import { readConfiguration } from "../../../src/main/configuration.ts";
import { presentFingerprint } from "../../../src/main/world.ts";
import type { Http } from "../../../src/model/ports.ts";
import { sealed } from "../../../src/model/sealed.ts";
import { createHttp } from "../../../src/net/http.ts";
import { realDialer } from "../../../src/outputs/dial.ts";
import { GrowingFile } from "../../../src/outputs/growing-file.ts";
import { HecOutput } from "../../../src/outputs/hec.ts";
import { HecClient } from "../../../src/outputs/hec-client.ts";
import { RejectedEvents } from "../../../src/outputs/rejected.ts";
import { SPLUNK_STREAM, StreamPipe } from "../../../src/outputs/stream-pipe.ts";
import { realDisk } from "../../../src/stores/disk/disk.ts";
import { EVENING_MS, FakeClock, T0 } from "../../harness/fakes/clock.ts";
import { HEC_TOKEN, HecNetwork } from "../../harness/fakes/hec.ts";
import { FakeLog } from "../../harness/fakes/log.ts";
import { FakeRandom } from "../../harness/fakes/random.ts";
import { batchOf, brokenDisk, errno, newFolder } from "../../harness/fakes/receiver.ts";
import { FakeSplunkd } from "../../harness/fakes/splunkd-rest.ts";
import { makeServerCertificate } from "../../harness/simulator/certificates.ts";
import { answering, type Causes, type Raised, thrownBy } from "./cause.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";

type SplunkdOptions = ConstructorParameters<typeof Splunkd>[0];
function splunkdAt(http: Http, more: Partial<SplunkdOptions> = {}): Splunkd {
  return new Splunkd({
    http,
    clock: new FakeClock(T0, { pauses: "pass" }),
    serverUri: "https://127.0.0.1:8089",
    sessionKey: sealed("key"),
    splunkdCaFile: undefined,
    splunkHome: "/opt/splunk",
    ...more,
  });
}
const passwords = (http: Http, more: Partial<SplunkdOptions> = {}): Promise<PasswordStore> =>
  PasswordStore.read(splunkdAt(http, more), new FakeClock(T0, { pauses: "pass" }), FakeRandom.always());

/** splunkd answers every request with this status. */
const answered = (status: number): Promise<Raised> => thrownBy(() => passwords(answering({ status })));

/** An input starts, and splunkd's store holds nothing but what `fake` has. */
async function inputStarts(values: Readonly<Record<string, string>>, fake = new FakeSplunkd()): Promise<Raised> {
  const store = await passwords(fake);
  const raw = { name: "contoso", values: { tenant_id: TENANT, client_id: TENANT, ...values } };
  const parsed = parseStanzas([raw], { host: "splunk", nowMs: new FakeClock(T0, { pauses: "pass" }).nowMs() });
  const files = { files: { look: () => ({ kind: "missing" }) as const }, roots: ["/auth"] };
  const read = (): Promise<undefined> => Promise.resolve(undefined);
  const { refused } = await resolveSecrets(parsed.stanzas, parsed.masked, store, undefined, {
    readBytes: read,
    files,
    fingerprintOf: presentFingerprint,
  });
  if (!refused[0]) throw new Error("the input was not refused");
  return refused[0].failure;
}

/** A wait that never ends. */
const stillClock = new FakeClock();

async function* pipe(...pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}
async function* openPipe(): AsyncGenerator<Uint8Array> {
  yield Buffer.from("<input>");
  await new Promise(() => {});
}

async function fileOn(code: string): Promise<Raised> {
  const folder = newFolder();
  const { disk } = Object.assign(brokenDisk(), { failing: { writeSync: () => errno(code) } });
  const path = join(folder, "out", "a.cef");
  const stateFolder = join(folder, "state");
  const file = new GrowingFile({
    name: "outputs[0]",
    path,
    access: { mode: 0o640 },
    rotateBytes: 1 << 20,
    stateFolder,
    disk,
    clock: new FakeClock(EVENING_MS),
  });
  return thrownBy(() => file.write(batchOf("one")));
}

async function dialled(protocol: "tcp" | "tls", port: number): Promise<Raised> {
  return thrownBy(() => realDialer.connect({ host: "127.0.0.1", port, protocol }, new AbortController().signal));
}

/** One event goes to a HEC that answers all questions for acknowledgements with no. */
async function silentHec(): Promise<Raised> {
  const clock = new FakeClock(EVENING_MS);
  const network = new HecNetwork(clock);
  const url = "https://hec.example:8088";
  network.indexer(url, { ack: "never" });
  const folder = newFolder();
  const name = "outputs[0]";
  const output = new HecOutput({
    name,
    urls: [url],
    ack: "auto",
    client: new HecClient({ name, token: sealed(HEC_TOKEN), gzip: false, caFile: undefined, http: network, clock }),
    spoolBytes: 1 << 20,
    withoutSpool: true,
    stateFolder: folder,
    stateName: "hec",
    rejected: new RejectedEvents(folder, realDisk, clock),
    disk: realDisk,
    clock,
    random: FakeRandom.always(),
    newChannel: () => TENANT,
    log: new FakeLog(),
  });
  void output.write(batchOf(JSON.stringify({ event: "one" }))).catch(() => undefined);
  await clock.pass(400_000, 5_000);
  const { failure } = output.condition();
  const closing = output.close(0);
  clock.endPauses();
  await closing;
  if (failure === undefined) throw new Error("HEC that acknowledges nothing was not reported");
  return failure;
}

export const HOSTS: Causes = {
  "document-empty": [
    "splunkd closes standard input at once",
    () => thrownBy(() => readDocumentText(pipe(), stillClock)),
  ],
  "document-late": [
    "splunkd never finishes its document",
    () => thrownBy(() => readDocumentText(openPipe(), new FakeClock(T0, { pauses: "pass" }))),
  ],
  "document-malformed": [
    "the run document is not XML",
    () => thrownBy(() => parseDocument("<input><server_host></input>")),
  ],
  "document-too-large": [
    "the run document has 65 MiB",
    () =>
      thrownBy(() =>
        readDocumentText(pipe(...Array<Uint8Array>(65).fill(new Uint8Array(1024 * 1024).fill(0x61))), stillClock),
      ),
  ],
  "secret-damaged": [
    "the stored shared credential is not JSON",
    async () => {
      const fake = new FakeSplunkd();
      const { endpoints, route } = parseStanzas([{ name: "a", values: { tenant_id: TENANT, client_id: TENANT } }], {
        host: "splunk",
        nowMs: 0,
      }).stanzas[0]!;
      await (await passwords(fake)).put(credentialId("main"), sealed("{"), presentFingerprint({ endpoints, route }));
      return inputStarts({ credential: "main" }, fake);
    },
  ],
  "secret-file-refused": [
    "client_secret names a file that is not there",
    () => inputStarts({ client_secret: "file:/auth/secret" }),
  ],
  "secret-missing": [
    "an input holds the mask, and nothing is stored for it",
    () => inputStarts({ client_secret: MASK }),
  ],
  "session-key-missing": [
    "the run document has no session key",
    () => thrownBy(() => splunkdAt(new FakeSplunkd(), { sessionKey: undefined })),
  ],
  "splunkd-answer": ["splunkd answers 404", () => answered(404)],
  "splunkd-busy": ["splunkd answers 503", () => answered(503)],
  "splunkd-forbidden": ["splunkd answers 403", () => answered(403)],
  "splunkd-login-refused": [
    "splunkd answers 401 to a user's login",
    () => {
      const options = {
        clock: new FakeClock(T0, { pauses: "pass" }),
        serverUri: "https://127.0.0.1:8089",
        splunkdCaFile: undefined,
        splunkHome: "/opt/splunk",
      };
      return thrownBy(() => splunkdLogin({ ...options, http: answering({ status: 401 }) }, "admin", sealed("wrong")));
    },
  ],
  "splunkd-session-refused": ["splunkd answers 401", () => answered(401)],
  "splunkd-unnamed": [
    "the run document has no server_uri",
    () => thrownBy(() => splunkdAt(new FakeSplunkd(), { serverUri: "" })),
  ],
  "splunkd-unreachable": [
    "splunkd's management port is closed",
    async () => {
      const http = createHttp({ environment: {} });
      try {
        return await thrownBy(() => passwords(http, { serverUri: "http://127.0.0.1:1" }));
      } finally {
        await http.close();
      }
    },
  ],
  "splunkd-untrusted": [
    "splunkd is on another machine and no CA file is named",
    () => thrownBy(() => splunkdAt(new FakeSplunkd(), { serverUri: "https://splunk.example.test:8089" })),
  ],

  "host-gone": [
    "splunkd has closed the pipe",
    () => {
      const sink = {
        write(_: Uint8Array, done: (error?: Error) => void) {
          done(errno("EPIPE"));
          return false;
        },
        on: () => undefined,
      };
      return thrownBy(() =>
        new StreamPipe(sink, new FakeClock(T0, { pauses: "pass" }), SPLUNK_STREAM).write(Buffer.from("<event/>")),
      );
    },
  ],
  "output-broken": ["the output's disk reports an error", () => fileOn("EIO")],
  "output-full": ["the output's disk is full", () => fileOn("ENOSPC")],
  "output-unconfirmed": ["HEC takes an event and says for ever that it is not indexed", () => silentHec()],
  "output-unreachable": ["the connector's port is closed", () => dialled("tcp", 1)],
  "output-untrusted": [
    "an unknown authority issued the connector's certificate",
    async () => {
      const { keyPem, certificatePem } = await makeServerCertificate(Date.now());
      const server = tls.createServer({ key: keyPem, cert: certificatePem }).on("tlsClientError", () => {});
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      try {
        return await dialled("tls", (server.address() as AddressInfo).port);
      } finally {
        server.close();
      }
    },
  ],

  settings: [
    "inputs.conf gives a cloud that does not exist",
    () => {
      const config = join(newFolder(), "inputs.conf");
      writeFileSync(config, `[defender_mssp://contoso]\ntenant_id = ${TENANT}\nclient_id = ${TENANT}\ncloud = moon\n`);
      return thrownBy(() =>
        readConfiguration({ config, argv: {}, environment: {} }, () =>
          Promise.reject(new Error("not a properties file")),
        ),
      );
    },
  ],
  usage: [
    "standard input ends before a question is answered",
    () => {
      const input = new PassThrough();
      input.end();
      return thrownBy(() =>
        realTerminal({ input, output: new PassThrough(), errors: new PassThrough() }).ask("Tenant:"),
      );
    },
  ],
};
