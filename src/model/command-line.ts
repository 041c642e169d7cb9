import type { HealthEvent } from "./event.ts";
import type { Log, LogFields } from "./ports.ts";
import type { RosterReport } from "./roster-report.ts";
import type { SettingsHost } from "./setting.ts";
import { settingsFor } from "./settings-table.ts";

/**
 * Commands in sentences. Code that knows no host writes a command between backticks, with this program's
 * package name and words quoted as JSON where they need it: `defender-mssp doctor --customer "Contoso"`.
 * Whatever leaves the program (log, health event, terminal) passes here, so that the command runs as printed
 * on the machine that printed it.
 */

/** Where a printed command will be pasted. */
export interface CommandPlace {
  /** The words that start this program: `./defender-mssp`, or those of `splunk cmd` before its path. */
  readonly program: readonly string[];
  readonly shell: "posix" | "windows";
  /** Flags of the running command by name, without dashes; printed commands repeat those that they know. */
  readonly flags: Readonly<Record<string, string>>;
  /** Where this run reads secrets, so that a printed command stores them there. */
  readonly secrets: "splunk" | "files" | "fleet";
  /** The file that names this host's fleet, where no flag gives it. */
  readonly fleetConfig?: string | undefined;
  /** What is known of a customer by its name: the file of its settings, and its shared credential. */
  readonly customer?: (name: string) => ConfiguredCustomer | undefined;
}

export interface ConfiguredCustomer {
  readonly config?: string | undefined;
  readonly credential?: string | undefined;
}

/** Prints commands for one place. */
export interface CommandLines {
  /** How this program is started, quoted for the shell. */
  readonly program: string;
  /**
   * The text with each command as it runs here.
   *
   * @param customer the one that the text is about, for commands that name none.
   */
  inText(text: string, customer?: string): string;
}

function configured(host: SettingsHost): readonly string[] {
  const settings = settingsFor(host).filter(({ secret, isFlag }) => secret !== true && isFlag !== false);
  return ["customer", "config", "state", ...settings.map(({ key }) => key.replaceAll("_", "-"))];
}

const CONFIGURED = configured("cli");
const OF_ARCSIGHT = configured("arcsight");
const SPLUNK = ["splunk-uri", "splunk-user"];
const OF_MANY_CUSTOMERS = CONFIGURED.filter((flag) => !["customer", "tenant-id", "tenant-name"].includes(flag));
/** An app belongs to no customer: only what it is bound to counts. */
const OF_A_CREDENTIAL = [
  "config",
  "state",
  "state-dir",
  "cloud",
  "client-id",
  "login-url",
  "graph-url",
  "api-url",
  "siem-url",
  "partnercenter-url",
  "proxy",
  "no-proxy",
  "ca-file",
  "splunkd-ca-file",
  ...SPLUNK,
];

/** A command, and which of the flags that a place may have it takes. */
export interface PrintableCommand {
  readonly takes: readonly string[];
  /** Those of them that are repeated, if not all. */
  readonly repeats?: readonly string[];
  /** Values of `--to`. */
  readonly to?: readonly string[];
}

/** Every command that a sentence may name. A test compares the flags with those that the parser knows. */
export const PRINTABLE_COMMANDS: Readonly<Record<string, PrintableCommand>> = {
  collect: { takes: CONFIGURED },
  hunt: { takes: CONFIGURED },
  run: { takes: OF_ARCSIGHT },
  "arcsight run": { takes: OF_ARCSIGHT },
  "arcsight serve": { takes: OF_ARCSIGHT },
  "arcsight check": { takes: OF_ARCSIGHT },
  "arcsight lint": { takes: [] },
  status: { takes: ["config"] },
  "fleet init": { takes: ["config"] },
  "fleet apply": { takes: ["config"] },
  "fleet drain": { takes: ["config"] },
  "fleet import-state": { takes: ["config", "state"] },
  "fleet export-state": { takes: ["config", "state"] },
  "rejected list": { takes: ["config", "state"] },
  "rejected resend": { takes: ["config", "state"] },
  register: { takes: ["config", "state", "streams", "auth", "cloud", "graph-url", "proxy", "no-proxy", "ca-file"] },
  "partner consent": { takes: [...CONFIGURED, ...SPLUNK], to: ["splunk", "file"] },
  "consent-url": { takes: [...CONFIGURED, ...SPLUNK], to: ["splunk", "file"] },
  "token acquire": { takes: [...CONFIGURED, ...SPLUNK], to: ["splunk", "fleet", "arcsight", "file"] },
  "token access": { takes: [...CONFIGURED, ...SPLUNK] },
  "token inspect": { takes: CONFIGURED },
  "credential set": { takes: [...CONFIGURED, ...SPLUNK], repeats: OF_A_CREDENTIAL, to: ["splunk", "file"] },
  "credential reseal": { takes: [...CONFIGURED, ...SPLUNK], to: ["splunk", "file"] },
  doctor: { takes: [...CONFIGURED, ...SPLUNK] },
  "customers list": { takes: [...CONFIGURED, ...SPLUNK], to: ["splunk", "file", "fleet"] },
  "customers import": { takes: [...OF_MANY_CUSTOMERS, ...SPLUNK], to: ["splunk", "fleet"] },
  "customers discover": { takes: [...OF_MANY_CUSTOMERS, ...SPLUNK], to: ["splunk", "fleet"] },
  "customers remove": { takes: ["config", "state", "splunkd-ca-file", ...SPLUNK], to: ["splunk", "fleet"] },
};

const WORD = String.raw`"(?:[^"\\]|\\.)*"|[^\s"\`|]+`;
const COMMAND = new RegExp(String.raw`(?<=\`|\| )defender[-_]mssp((?: (?:${WORD}))+)(?=\`)`, "g");

/** The commands in a sentence as the code wrote them, each as its words without the program's name. */
export function commandsIn(text: string): readonly (readonly string[])[] {
  return [...text.matchAll(COMMAND)].map(([, words = ""]) => wordsOf(words));
}

export function commandLines(place: CommandPlace): CommandLines {
  return {
    program: place.program.map(quoting(place)).join(" "),
    inText: (text, customer) =>
      text.includes("defender")
        ? text.replace(COMMAND, (_, words: string) => commandLine(wordsOf(words), place, customer))
        : text,
  };
}

/** A health event whose sentences hold the commands as they run here. */
export function healthWithCommands(event: HealthEvent, commands: Pick<CommandLines, "inText">): HealthEvent {
  const text = (sentence: string | null) => sentence && commands.inText(sentence, event.tenant);
  return {
    ...event,
    streams: event.streams.map((stream) => ({ ...stream, say: text(stream.say), next_step: text(stream.next_step) })),
    ...(event.roster === undefined ? {} : { roster: rosterWithCommands(event.roster, commands) }),
  };
}

/** The comparison with the list, with its command as it runs here. */
export function rosterWithCommands(roster: RosterReport, commands: Pick<CommandLines, "inText">): RosterReport {
  return { ...roster, next_step: roster.next_step && commands.inText(roster.next_step) };
}

/** A log whose lines hold the commands as they run here. */
export function logWithCommands(log: Log, commands: Pick<CommandLines, "inText">): Log {
  const fieldsOf = (fields: LogFields): LogFields => {
    const customer = fields["tenant"] ?? fields["customer"];
    const about = typeof customer === "string" ? customer : undefined;
    return Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [
        key,
        typeof value === "string" ? commands.inText(value, about) : value,
      ]),
    );
  };
  const at = (level: keyof Log) => (message: string, fields?: LogFields) =>
    log[level](commands.inText(message), fields && fieldsOf(fields));
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), fatal: at("fatal") };
}

/** The name of the command that these words begin with; undefined if they begin with none. */
export function commandName(words: readonly string[]): string | undefined {
  const [first = "", second = ""] = words;
  return [`${first} ${second}`, first].find((name) => Object.hasOwn(PRINTABLE_COMMANDS, name));
}

/** One command line for the place's shell, complete with what the running command was told. */
export function commandLine(words: readonly string[], place: CommandPlace, about?: string): string {
  const name = commandName(words);
  const known = name === undefined ? undefined : PRINTABLE_COMMANDS[name];
  const all =
    known === undefined || name === undefined || has(words, "help")
      ? words
      : completed(words, name, known, place, about);
  return [...place.program, ...all].map(quoting(place)).join(" ");
}

function completed(
  words: readonly string[],
  name: string,
  known: PrintableCommand,
  place: CommandPlace,
  about: string | undefined,
): readonly string[] {
  const customer = valueOf(words, "customer") ?? about ?? place.flags["customer"];
  const its = customer === undefined ? undefined : place.customer?.(customer);
  const ofFleet = name.startsWith("fleet ") || valueOf(words, "to") === "fleet" ? place.fleetConfig : undefined;
  const { credential = place.flags["credential"], config = place.flags["config"] ?? ofFleet } = its ?? {};
  const own = words.map((word) => (word === "NAME" && credential !== undefined ? credential : word));
  const given: Readonly<Record<string, string | undefined>> = {
    ...place.flags,
    config,
    customer: needsCustomer(name, own) ? customer : undefined,
  };
  const to =
    known.to === undefined || has(own, "to") || has(own, "print") ? [] : destination(name, known.to, place, config);
  const repeated = (known.repeats ?? known.takes).flatMap((flag) => {
    const value = given[flag];
    // Of these two places a command that changes customers takes one; the fleet's is named in the file.
    if (flag === "config" && CHANGES_CUSTOMERS.test(name) && [...own, ...to].includes("splunk")) return [];
    return value === undefined || has(own, flag) ? [] : [`--${flag}`, value];
  });
  // These two need to be told which customers they are about.
  const everyone = customer === undefined && ["doctor", "credential reseal"].includes(name) && needsCustomer(name, own);
  return [...own, ...(everyone ? ["--all"] : []), ...repeated, ...to];
}

const CHANGES_CUSTOMERS = /^customers (?:discover|import|remove)$/;

/** Commands for one customer; a shared credential is nobody's. */
function needsCustomer(name: string, words: readonly string[]): boolean {
  return name !== "credential set" && !CHANGES_CUSTOMERS.test(name) && !has(words, "all");
}

/** Where the command stores: where the running one was told to, else where this host reads. */
function destination(
  name: string,
  choices: readonly string[],
  { flags, secrets }: CommandPlace,
  config: string | undefined,
): readonly string[] {
  const { to, file } = flags;
  // What it looks into is named already.
  if (name === "consent-url" && (flags["splunk-uri"] !== undefined || flags["splunk-user"] !== undefined)) return [];
  if (to !== undefined && choices.includes(to))
    return ["--to", to, ...(file === undefined || name !== "token acquire" ? [] : ["--file", file])];
  if (secrets === "splunk") return ["--to", "splunk"];
  if (name !== "token acquire") return [];
  if (secrets === "fleet") return ["--to", "fleet"];
  return config?.toLowerCase().endsWith(".properties") ? ["--to", "arcsight", "--file", config] : ["--print"];
}

function wordsOf(text: string): readonly string[] {
  return [...text.matchAll(new RegExp(WORD, "g"))].map(([word]) =>
    word.startsWith('"') ? (JSON.parse(word) as string) : word,
  );
}

function has(words: readonly string[], flag: string): boolean {
  return words.some((word) => word === `--${flag}` || word.startsWith(`--${flag}=`));
}

function valueOf(words: readonly string[], flag: string): string | undefined {
  const at = words.indexOf(`--${flag}`);
  return at < 0 ? undefined : words[at + 1];
}

function quoting({ shell }: CommandPlace): (word: string) => string {
  return shell === "windows" ? quotedForWindows : quotedForPosix;
}

/** One word for a POSIX shell. */
export function quotedForPosix(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * For cmd.exe and the rules by which Windows programs split their command line: a quote is `\"`, and
 * backslashes count only before a quote.
 */
function quotedForWindows(word: string): string {
  if (/^[\w@+=:,./\\-]+$/.test(word)) return word;
  return `"${word.replaceAll(/(\\*)"/g, String.raw`$1$1\"`).replaceAll(/(\\+)$/g, "$1$1")}"`;
}
