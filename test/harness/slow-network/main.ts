/**
 * `main.ts HOST`, run inside the network of namespace.sh: opens a connection to HOST in each way in which the
 * program opens one, and prints what came of it, as one line of JSON.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { sealed } from "../../../src/model/sealed.ts";
import { createHttp } from "../../../src/net/http.ts";
import { realDialer } from "../../../src/outputs/dial.ts";
import { makeServerCertificate } from "../simulator/certificates.ts";

const SERVER = "10.99.0.1";
const host = process.argv[2]!;
const folder = mkdtempSync(join(tmpdir(), "slow-network-"));
const caFile = join(folder, "ca.pem");
const shown = await makeServerCertificate(Date.now());
writeFileSync(caFile, shown.caPem);
const identity = { key: shown.keyPem, cert: shown.certificatePem };

async function listening(server: net.Server): Promise<number> {
  server.listen(0, SERVER);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const webPort = await listening(https.createServer(identity, (_, response) => void response.end("reached")));
const tcpPort = await listening(net.createServer((socket) => void socket.on("error", () => undefined).resume()));
const tlsPort = await listening(
  tls.createServer(identity, (socket) => void socket.on("error", () => undefined).resume()),
);
const proxyPort = await listening(
  net.createServer((socket) => {
    socket
      .on("error", () => undefined)
      .once("data", () => {
        const onward = net.connect(webPort, SERVER).on("error", () => undefined);
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.pipe(onward).pipe(socket);
      });
  }),
);

const never = new AbortController().signal;
const web = createHttp({ environment: {} });

async function got(port: number, proxy?: string): Promise<string> {
  const route = { caFile, ...(proxy === undefined ? {} : { proxy: sealed(proxy) }) };
  const answer = await web.send({ method: "GET", url: `https://${host}:${port}/`, headers: {}, route });
  return answer.text(100);
}

async function dialled(protocol: "tcp" | "tls", port: number): Promise<string> {
  const connection = await realDialer.connect({ host, port, protocol, caFile }, never);
  await connection.send(Buffer.from("line\n"));
  return "reached";
}

const ways = {
  "Microsoft or splunkd": () => got(webPort),
  "through a proxy": () => got(webPort, `http://${host}:${proxyPort}`),
  "an output over tcp": () => dialled("tcp", tcpPort),
  "an output over tls": () => dialled("tls", tlsPort),
};
const outcomes: Record<string, string> = {};
for (const [way, visit] of Object.entries(ways))
  outcomes[way] = await visit().catch((error: unknown) => (error as Error).message);
rmSync(folder, { recursive: true });
await new Promise((done) => process.stdout.write(`${JSON.stringify(outcomes)}\n`, done));
process.exit(0);
