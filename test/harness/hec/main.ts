/** The fake HEC as a program; see the help text. */
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { ACK_MODES, type AckMode } from "./indexer.ts";
import { type HecServer, type HecServerOptions, startHec } from "./server.ts";

const HELP = `Usage: npm run -s hec -- [options]

Splunk's HTTP Event Collector over TLS on loopback, with indexer acknowledgement. Prints one JSON line
{"url","token","ca_file"} when it is ready and stops on SIGTERM.

  --ack MODE     late: acknowledges seconds later; never; wrong: answers of no use, and ids that nobody asked for;
                 restart: restarts again and again, loses its queue and begins its ids at 0; off: acknowledges nothing,
                 as Splunk Cloud (default: acknowledges what is indexed, within a second)
  --port N       its port (0: any)
  --token T      the only token that it accepts (default: a new GUID)
  --out FILE     gets the event values that count as indexed, one a line: for the oracle's format jsonl
  --help         this text
`;

function readArguments(argv: readonly string[]): HecServerOptions | "help" | { readonly wrong: string } {
  let values: { ack?: string; port?: string; token?: string; out?: string; help?: boolean };
  try {
    values = parseArgs({
      args: [...argv],
      options: {
        ack: { type: "string" },
        port: { type: "string" },
        token: { type: "string" },
        out: { type: "string" },
        help: { type: "boolean" },
      },
    }).values;
  } catch (error) {
    return { wrong: (error as Error).message };
  }
  if (values.help === true) return "help";
  const { ack = "on", token = randomUUID(), out } = values;
  const port = Number(values.port ?? 0);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    return { wrong: `--port ${values.port}: expected a number from 0 to 65535.` };
  if (!(ACK_MODES as readonly string[]).includes(ack))
    return { wrong: `--ack ${ack}: expected one of ${ACK_MODES.join(", ")}.` };
  return { ack: ack as AckMode, port, token, ...(out === undefined ? {} : { out }) };
}

async function main(): Promise<number> {
  const read = readArguments(process.argv.slice(2));
  if (read === "help") {
    process.stdout.write(HELP);
    return 0;
  }
  if ("wrong" in read) {
    process.stderr.write(`hec: ${read.wrong}\n`);
    return 2;
  }
  const stopped = new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
    // npm does not pass SIGTERM on: when it is stopped, this process gets another parent.
    const parent = process.ppid;
    if (process.env["npm_lifecycle_event"] !== undefined)
      setInterval(() => {
        if (process.ppid !== parent) resolve();
      }, 500).unref();
  });
  let server: HecServer;
  try {
    server = await startHec(read);
  } catch (error) {
    process.stderr.write(`hec: ${(error as Error).message}\n`);
    return 2;
  }
  process.stdout.write(`${JSON.stringify(server.ready)}\n`);
  await stopped;
  await server.stop();
  return 0;
}

process.exitCode = await main();
