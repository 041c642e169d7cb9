/**
 * npm run -s splunkweb -- --app DIR|TGZ --conf FILE [--out FILE] [--log FILE] [--port N] [--for S]
 * [--locale en-US] [--root /splunk] [--version 10.4.0]
 *
 * First line on stdout: {"url","user","password","home","splunkd_uri"}, `url` being the full address of the
 * view `start`. Runs until SIGTERM, SIGINT or --for. The pages' bundle must be in the app: `npm run package`
 * puts it there.
 */
import yargs from "yargs";
import { type Splunkd, startSplunkd } from "../splunkd/splunkd.ts";
import { SplunkWeb } from "./splunkweb.ts";

const ADMIN = { name: "admin", password: "changeme" };

async function main(argv: readonly string[]): Promise<number> {
  const args = await yargs([...argv])
    .scriptName("npm run -s splunkweb --")
    .usage(
      "$0 --app DIR|TGZ --conf FILE\n\nServes the app's pages as Splunk Web does, with the real input behind them.",
    )
    // The option of this name is Splunk's version.
    .version(false)
    .option("app", { type: "string", demandOption: true, describe: "the app: a folder or a package (.tgz)" })
    .option("conf", { type: "string", demandOption: true, describe: "becomes the app's local/inputs.conf" })
    .option("home", { type: "string", describe: "SPLUNK_HOME; kept" })
    .option("out", { type: "string", describe: "the input's stdout, byte for byte" })
    .option("log", { type: "string", describe: "splunkd.log" })
    .option("port", { type: "number", default: 0, describe: "Splunk Web's port; 0 takes a free one" })
    .option("for", { type: "number", describe: "stop after so many seconds" })
    .option("locale", { type: "string", default: "en-US" })
    .option("root", { type: "string", default: "", describe: "root_endpoint of web.conf, for example /splunk" })
    .option("version", { type: "string", default: "10.4.0", describe: "the Splunk version that pages are told" })
    .option("theme", { choices: ["light", "dark"] as const, default: "light" as const })
    .strict()
    .parseAsync();

  let splunkd: Splunkd;
  try {
    const { app, conf, home, out, log } = args;
    splunkd = await startSplunkd({ app, conf, home, out, log, admin: ADMIN });
  } catch (error) {
    process.stderr.write(`splunkweb: ${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
  const web = await SplunkWeb.start({ splunkd, ...args });
  const { url } = web;
  process.stdout.write(
    `${JSON.stringify({ url, user: ADMIN.name, password: ADMIN.password, home: splunkd.home, splunkd_uri: splunkd.serverUri })}\n`,
  );
  await stopAsked(args.for);
  await web.close();
  const { faults } = await splunkd.stop();
  for (const fault of faults) process.stderr.write(`splunkweb: ${fault}\n`);
  return faults.length === 0 ? 0 : 1;
}

/** Through npm this is a shell's child, and a shell that is stopped does not pass the signal on. */
function stopAsked(forS: number | undefined): Promise<void> {
  const parent = process.ppid;
  return new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
    if (forS !== undefined) setTimeout(resolve, forS * 1_000);
    setInterval(() => {
      if (process.ppid !== parent) resolve();
    }, 500).unref();
  });
}

process.exitCode = await main(process.argv.slice(2));
