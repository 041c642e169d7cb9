import { createHash, randomUUID } from "node:crypto";
import { basename, join, resolve } from "node:path";
import type { OutputSettings } from "../config/arcsight-settings.ts";
import type { Clock, Http, Log, Random } from "../model/ports.ts";
import type { Stanza } from "../model/stanza.ts";
import { type Disk, type DiskPorts, readIfThere } from "../stores/disk/disk.ts";
import type { Dialer } from "./connection.ts";
import { countedOutput, EventRate, pacedOutput } from "./event-rate.ts";
import { FolderOutput } from "./folder.ts";
import { GrowingFile } from "./growing-file.ts";
import { HecOutput } from "./hec.ts";
import { HecClient } from "./hec-client.ts";
import { KafkaOutput } from "./kafka.ts";
import type { KafkaAccess } from "./kafka-connection.ts";
import type { KafkaNames } from "./kafka-failures.ts";
import { KafkaShards } from "./kafka-shards.ts";
import { type CustomerStyle, lineFormatOf, type Notice } from "./line-format.ts";
import type { Output } from "./output.ts";
import { accessOf } from "./reader-access.ts";
import { RejectedEvents } from "./rejected.ts";
import { type Branch, OutputsSink } from "./sink.ts";
import { SyslogOutput } from "./syslog.ts";
import { UdpOutput } from "./udp.ts";

const MIB = 1024 * 1024;

/** What outputs need from outside; injected. */
export interface OutputsWorld {
  readonly ports: DiskPorts;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly dialer: Dialer;
  /** For HEC; whoever made it closes it after the sink. */
  readonly http: Http;
  /** This machine's name, for syslog headers and HEC events. */
  readonly hostName: string;
  /** Whoever writes keeps the events until the receiver confirms them: a fleet's database. */
  readonly withoutSpool?: boolean;
  /**
   * Of a member of a fleet: its name, how many parts the customers are shared in, and how many members share
   * them now.
   */
  readonly fleet?: { readonly member: string; readonly shards: number; readonly members: () => number };
  /** Gets notices where health has another way out; undefined: they go to the outputs. */
  readonly takeNotice?: (notice: Notice) => void;
}

/**
 * Opens every output of the configuration as one sink. Syslog outputs begin to connect at once.
 *
 * @param stanzas every customer that can have events: their settings decide the layout of JSON lines.
 * @param stateDir outputs keep their spools and what they know of written events in `outputs/` in it: open it
 *   (and its lock) first. Throws Failure `state-unwritable`, `state-unreadable`.
 */
export function openOutputs(
  outputs: readonly OutputSettings[],
  stanzas: readonly Stanza[],
  stateDir: string,
  world: OutputsWorld,
): OutputsSink {
  return openEachOutput(outputs, stanzas, stateDir, world).all;
}

/** The same outputs together, and each as a sink of its own for whoever counts how far each has got. */
export function openEachOutput(
  outputs: readonly OutputSettings[],
  stanzas: readonly Stanza[],
  stateDir: string,
  world: OutputsWorld,
): { readonly all: OutputsSink; readonly each: () => readonly OutputsSink[] } {
  const styles = new Map<string, CustomerStyle>(stanzas.map((stanza) => [stanza.name, stanza]));
  const styleOf = (stanza: string) => styles.get(stanza);
  const rejected = new RejectedEvents(stateDir, world.ports.disk, world.clock);
  const names = stateNamesOf(outputs);
  const branches = outputs.map(
    (settings, i): Branch => ({
      output: openOutput(settings, join(stateDir, "outputs", names[i] as string), { ...world, rejected }),
      format: lineFormatOf(settings, styleOf, world.hostName),
      ...(settings.tenants ? { tenants: new Set(settings.tenants) } : {}),
    }),
  );
  const spooling = names.filter((_, i) => !(world.withoutSpool === true && WITHOUT_SPOOL.has(outputs[i]?.type ?? "")));
  reportLeftSpools(join(stateDir, "outputs"), new Set(spooling), world);
  const admitted = (stanza: Stanza) => styles.set(stanza.name, stanza);
  const sinkOf = (some: readonly Branch[], reports: boolean) =>
    new OutputsSink(some, () => world.clock.nowMs(), world.log, admitted, { reports, takeNotice: world.takeNotice });
  return { all: sinkOf(branches, true), each: () => branches.map((branch) => sinkOf([branch], false)) };
}

/** What a fleet's database keeps for them needs no spool. */
const WITHOUT_SPOOL: ReadonlySet<string> = new Set(["hec", "kafka", "syslog"]);

interface OutputWorld extends OutputsWorld {
  readonly rejected: RejectedEvents;
}

function openOutput(settings: OutputSettings, stateFolder: string, world: OutputWorld): Output {
  const { fleet, clock } = world;
  if (settings.maxEps === 0) return openUnpaced(settings, stateFolder, world, undefined);
  const rate = new EventRate(settings.maxEps, clock, fleet?.members);
  if (fleet !== undefined) return countedOutput(openUnpaced(settings, stateFolder, world, undefined), rate);
  const output = openUnpaced(settings, stateFolder, world, rate);
  // Syslog over a connection paces what it sends, its spool included.
  return output instanceof SyslogOutput ? output : pacedOutput(output, rate);
}

function openUnpaced(
  settings: OutputSettings,
  stateFolder: string,
  world: OutputWorld,
  rate: EventRate | undefined,
): Output {
  const { name, type } = settings;
  const { ports, clock } = world;
  if (type === "hec") return openHec(settings, stateFolder, world);
  if (type === "kafka") return openKafka(settings, stateFolder, world);
  if (type === "syslog") return openSyslog(settings, stateFolder, world, rate);
  const path = resolve(settings.path ?? "");
  const access = accessOf(settings, ports.platform);
  if (type === "cef-folder" || type === "json-folder") {
    return new FolderOutput({
      name,
      path,
      content: type === "cef-folder" ? "lines" : "json-array",
      access,
      keepDays: settings.keepDays,
      stateFolder,
      ports,
      clock,
    });
  }
  const rotateBytes = settings.rotateMib * MIB;
  return new GrowingFile({ name, path, rotateBytes, access, stateFolder, disk: ports.disk, clock });
}

function openSyslog(
  settings: OutputSettings,
  stateFolder: string,
  world: OutputsWorld,
  rate: EventRate | undefined,
): Output {
  const { name, host = "", port, protocol, caFile, certificate } = settings;
  const { ports, clock, random, log, dialer } = world;
  const style = { format: settings.format, framing: settings.framing, host: world.hostName };
  if (protocol === "udp") return new UdpOutput({ name, host, port, style, dialer, clock, log });
  const files = { ...(caFile === undefined ? {} : { caFile }), ...(certificate === undefined ? {} : { certificate }) };
  const target = { host, port, protocol, ...files };
  const spoolBytes = settings.spoolMib * MIB;
  const output = new SyslogOutput({
    name,
    target,
    style,
    spoolBytes,
    stateFolder,
    dialer,
    disk: ports.disk,
    clock,
    random,
    log,
    ...(rate === undefined ? {} : { rate }),
    withoutSpool: world.withoutSpool === true,
  });
  noteWhere(join(stateFolder, WHERE), output.where, ports.disk);
  return output;
}

function openHec(settings: OutputSettings, stateFolder: string, world: OutputWorld): Output {
  const { name, urls = [], ack } = settings;
  const { ports, clock, random, log, rejected } = world;
  const output = new HecOutput({
    name,
    urls,
    ack,
    client: hecClientOf(settings, world),
    spoolBytes: settings.spoolMib * MIB,
    stateFolder,
    stateName: basename(stateFolder),
    rejected,
    disk: ports.disk,
    clock,
    random,
    newChannel: randomUUID,
    log,
    withoutSpool: world.withoutSpool === true,
  });
  noteWhere(join(stateFolder, WHERE), output.where, ports.disk);
  return output;
}

function openKafka(settings: OutputSettings, stateFolder: string, world: OutputWorld): Output {
  const { name, topic, watermarkTopic, recordFormat, compression, transactionalId } = settings;
  const { ports, clock, random, log, rejected, fleet } = world;
  const common = {
    name,
    where: kafkaWhere(settings),
    topic,
    watermarkTopic,
    recordFormat,
    compression,
    access: kafkaAccessOf(settings),
    spoolBytes: settings.spoolMib * MIB,
    stateName: basename(stateFolder),
    rejected,
    clock,
    random,
    log,
  };
  if (fleet !== undefined && transactionalId !== undefined)
    return new KafkaShards({
      ...common,
      ...fleet,
      transactionalId,
      client: (id) =>
        kafkaClientOf(settings, id, { keptIn: "the fleet's database", watermarkPartitions: fleet.shards }),
    });
  const output = new KafkaOutput({
    ...common,
    transactionalId,
    client: (id) => kafkaClientOf(settings, id),
    stateFolder,
    ports,
    newId: randomUUID,
  });
  noteWhere(join(stateFolder, WHERE), output.where, ports.disk);
  return output;
}

/** Where an output's events go, as messages and `rejected/` name it. */
export function kafkaWhere({ brokers = [], topic }: Pick<OutputSettings, "brokers" | "topic">): string {
  return `${brokers.join(",")} topic ${topic}`;
}

/** How the output reaches and signs in to Kafka. */
export function kafkaAccessOf(settings: OutputSettings): KafkaAccess {
  const { brokers = [], protocol, caFile, certificate, sasl, user, password } = settings;
  return {
    brokers,
    protocol: protocol === "tcp" ? protocol : "tls",
    sasl,
    ...(caFile === undefined ? {} : { caFile }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
  };
}

/** Loads what speaks to Kafka. */
export async function kafkaClientOf(
  { name, topic, watermarkTopic, sasl, user }: OutputSettings,
  transactionalId: string,
  more: Pick<KafkaNames, "keptIn" | "watermarkPartitions"> = {},
) {
  const { kafkaClient } = await import("./kafka-client.ts");
  const by = sasl === "none" ? undefined : user;
  return kafkaClient({ name, topic, watermarkTopic, transactionalId, user: by, ...more });
}

/** What sends to the output's HEC. */
export function hecClientOf(
  { name, token, gzip, caFile }: OutputSettings,
  { http, clock }: Pick<OutputsWorld, "http" | "clock">,
): HecClient {
  return new HecClient({ name, token, gzip, caFile, http, clock });
}

/** In an output's state folder: the address of the receiver, for a person to read. */
const WHERE = "leads-to";

function noteWhere(path: string, where: string, disk: Disk): void {
  try {
    if (!disk.existsSync(path)) disk.writeFileSync(path, `${where}\n`, { mode: 0o600 });
  } catch {
    // A full disk: the folder's own name is said instead.
  }
}

/**
 * An output that was removed from the file, has another address now, or has wrong settings, leaves queued
 * events behind. They are not lost, but they are not sent before somebody acts, so they are reported.
 *
 * @param names the state folders of the outputs that are open.
 */
export function reportLeftSpools(folder: string, names: ReadonlySet<string>, world: LeftSpoolsWorld): void {
  for (const { name, type, where, bytes } of spoolsIn(folder, world.ports.disk)) {
    if (names.has(name)) continue;
    const { say, nextStep } = whyLeft(type, where, world);
    world.log.warn(say, { kib: Math.ceil(bytes / 1024), folder: join(folder, name), next_step: nextStep });
  }
}

export interface LeftSpool {
  readonly name: string;
  readonly type: string;
  /** The receiver, for a person. */
  readonly where: string;
  readonly bytes: number;
}

/**
 * Events that wait for receivers, of every output that ever had any.
 *
 * @param folder of the outputs, in the state folder.
 */
export function spoolsIn(folder: string, disk: Disk): readonly LeftSpool[] {
  return namesIn(disk, folder).flatMap((name) => {
    const type = /^(?:syslog|hec|kafka)(?=-)/.exec(name)?.[0];
    const spool = join(folder, name, "spool");
    const segments = namesIn(disk, spool).filter((one) => one.endsWith(".spool"));
    if (type === undefined || segments.length === 0) return [];
    const where =
      readIfThere(disk, join(folder, name, WHERE))
        ?.toString("utf8")
        .trim() || "a receiver";
    return [{ name, type, where, bytes: segments.reduce((sum, one) => sum + disk.statSync(join(spool, one)).size, 0) }];
  });
}

interface LeftSpoolsWorld {
  readonly ports: Pick<DiskPorts, "disk">;
  readonly log: Log;
  readonly withoutSpool?: boolean;
  /** Types of outputs that are configured and not open, because their settings were refused. */
  readonly refusedTypes?: ReadonlySet<string>;
}

function whyLeft(type: string, where: string, { withoutSpool, refusedTypes }: LeftSpoolsWorld) {
  if (refusedTypes?.has(type) === true)
    return {
      say: `events are still queued for ${where}, whose settings are wrong: they are kept and not sent`,
      nextStep: "Correct the settings that the errors of this start name; then the events are sent.",
    };
  if (withoutSpool === true)
    return {
      say: `events are still queued on this machine for ${where}: a member of a fleet keeps them and does not send them`,
      nextStep:
        "Run this machine with that output and without fleet.url until they are sent, or delete the folder if you do not need them.",
    };
  return {
    say: `events are still queued for ${where}, which is no longer a configured output: they are kept and not sent`,
    nextStep:
      "Configure an output with that address until they are sent, or delete the folder if you do not need them.",
  };
}

function namesIn(disk: Disk, folder: string): readonly string[] {
  try {
    return disk.readdirSync(folder);
  } catch {
    return [];
  }
}

/** Two outputs may have one receiver (for different customers or profiles); each needs a spool of its own. */
function stateNamesOf(outputs: readonly OutputSettings[]): readonly string[] {
  const seen = new Map<string, number>();
  return outputs.map((settings) => {
    const name = stateNameOf(settings);
    const times = (seen.get(name) ?? 0) + 1;
    seen.set(name, times);
    return times === 1 ? name : `${name}-${times}`;
  });
}

/**
 * Named for the receiver, never for the index: an output that moves in the file must find its own spool
 * again.
 */
function stateNameOf({ type, path, host, port, protocol, urls = [], brokers = [], topic }: OutputSettings): string {
  // More indexers or brokers may be added behind the first address.
  const where =
    type === "syslog"
      ? `${protocol} ${host} ${port}`
      : type === "hec"
        ? `hec ${urls[0]}`
        : type === "kafka"
          ? `kafka ${brokers[0]} ${topic}`
          : `${type} ${resolve(path ?? "")}`;
  return `${type}-${createHash("sha256").update(where).digest("hex").slice(0, 16)}`;
}
