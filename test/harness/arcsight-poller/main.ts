/**
 * node test/harness/arcsight-poller/main.ts --client FILE --refresh-token-file FILE --events-url URL --parser
 * FILE
 *
 * Polls as an ArcSight FlexConnector REST would and prints each event as a line of JSON. Exit 1 when an
 * answer or the parser file is wrong.
 */
import { readFileSync } from "node:fs";
import yargs from "yargs";
import { ParserFile } from "./parser-file.ts";
import { ArcSightPoller, nextStart } from "./poller.ts";
import { readProperties } from "./properties.ts";
import { START_FORMATS } from "./start-time.ts";

const args = await yargs(process.argv.slice(2))
  .usage("Polls as an ArcSight FlexConnector REST would; one line of JSON per event.")
  .option("client", { type: "string", demandOption: true, describe: "OAuth2 client properties file" })
  .option("refresh-token-file", {
    type: "string",
    describe: "the pasted refresh token; default: refresh_token of the client file",
  })
  .option("events-url", { type: "string", demandOption: true, describe: "with $START_AT_TIME, or without" })
  .option("parser", { type: "string", demandOption: true, describe: "NAME.jsonparser.properties" })
  .option("start", { type: "string", default: "1d", describe: "first start time: an ISO time, or 12h, 30d" })
  .option("start-format", {
    choices: Object.keys(START_FORMATS),
    default: "iso-ms",
    describe: "how $START_AT_TIME is written",
  })
  .option("time-member", {
    type: "string",
    default: "LastProcessedTimeUtc",
    describe: "the rows' member by which the start time moves on",
  })
  .option("polls", { type: "number", default: 1 })
  .option("interval", { type: "number", default: 5, describe: "seconds between polls" })
  .option("ca-file", { type: "string" })
  .strict()
  .version(false)
  .parseAsync();

try {
  const client = readProperties(readFileSync(args.client));
  const pasted =
    args["refresh-token-file"] === undefined
      ? client.get("refresh_token")
      : readFileSync(args["refresh-token-file"], "utf8").trim();
  const poller = new ArcSightPoller({
    client,
    refreshToken: pasted ?? "",
    eventsUrl: args["events-url"],
    startFormat: args["start-format"],
    parser: new ParserFile(readProperties(readFileSync(args.parser))),
    ca: args["ca-file"] === undefined ? undefined : readFileSync(args["ca-file"], "utf8"),
    nowMs: () => Date.now(),
  });
  let startMs = firstStart(args.start);
  for (let done = 1; done <= args.polls; done++) {
    const poll = await poller.poll(startMs);
    process.stderr.write(`${poll.status} ${poll.events.length} events from ${poll.url}\n`);
    if (poll.status !== 200)
      throw new Error(`the poll was answered ${poll.status}: ${String(poll.answer).slice(0, 300)}`);
    for (const event of poll.events)
      process.stdout.write(`${JSON.stringify({ ...event.additional, ...event.fields })}\n`);
    startMs = nextStart(poll, args["time-member"], startMs);
    if (done < args.polls) await new Promise((resolve) => setTimeout(resolve, args.interval * 1000));
  }
} catch (error) {
  process.stderr.write(`arcsight-poller: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

function firstStart(text: string): number {
  const back = /^(\d+)([hd])$/.exec(text);
  const ms = back ? Date.now() - Number(back[1]) * (back[2] === "h" ? 3_600_000 : 86_400_000) : Date.parse(text);
  if (Number.isNaN(ms)) throw new Error(`--start ${text} is neither a time nor 12h or 30d`);
  return ms;
}
