import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import type { OutputSettings } from "../../config/arcsight-settings.ts";
import type { EventStyle } from "../../format/record-json.ts";
import type { Chance, Clock, Log } from "../../model/kit.ts";
import type { Stanza } from "../../model/stanza.ts";
import type { DiskKit } from "../../stores/disk.ts";
import { FolderOutput } from "./outputs/folder.ts";
import { GrowingFile } from "./outputs/growing-file.ts";
import { lineFormatOf } from "./outputs/line-format.ts";
import type { Dialer } from "./outputs/link.ts";
import { ArcSightOutlet } from "./outputs/outlet.ts";
import type { Output } from "./outputs/output.ts";
import { SyslogOutput } from "./outputs/syslog.ts";
import { UdpOutput } from "./outputs/udp.ts";

const MIB = 1024 * 1024;

/** The world that outputs live in. */
export interface OutputsWorld {
  readonly kit: DiskKit;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
  readonly dialer: Dialer;
  /** This machine's name, for syslog headers. */
  readonly hostName: string;
}

/**
 * Opens every output of the configuration as one outlet. Syslog outputs begin to connect at once.
 *
 * @param stanzas every configured customer, those in trouble included: their settings decide the look of JSON lines.
 * @param stateDir outputs keep their spools and what they know of written events in `outputs/` in it: open it (and its lock) first.
 * Throws Failure `state-unwritable`, `state-unreadable`.
 */
export function openOutputs(
  outputs: readonly OutputSettings[],
  stanzas: readonly Stanza[],
  stateDir: string,
  world: OutputsWorld,
): ArcSightOutlet {
  const styles = new Map<string, EventStyle>(stanzas.map((stanza) => [stanza.name, stanza]));
  const styleOf = (stanza: string): EventStyle => {
    const style = styles.get(stanza);
    if (!style) throw new Error(`no stanza ${stanza} was given to the outlet`);
    return style;
  };
  const branches = outputs.map((settings) => ({
    output: openOutput(settings, join(stateDir, "outputs", stateNameOf(settings)), world),
    format: lineFormatOf(settings, styleOf),
    ...(settings.tenants ? { tenants: new Set(settings.tenants) } : {}),
  }));
  const names = stanzas.map(({ name, tenantName }) => ({ stanza: name, tenantName }));
  return new ArcSightOutlet(branches, names, () => world.clock.nowMs());
}

function openOutput(settings: OutputSettings, stateFolder: string, world: OutputsWorld): Output {
  const { name, type } = settings;
  const { kit, clock } = world;
  if (type === "syslog") return openSyslog(settings, stateFolder, world);
  const path = resolve(settings.path ?? "");
  if (type === "cef-folder" || type === "json-folder") {
    return new FolderOutput({ name, path, content: type === "cef-folder" ? "lines" : "json-array", stateFolder, kit, clock });
  }
  return new GrowingFile({ name, path, rotateBytes: settings.rotateMib * MIB, stateFolder, disk: kit.disk, clock });
}

function openSyslog(settings: OutputSettings, stateFolder: string, world: OutputsWorld): Output {
  const { name, host = "", port, protocol, caFile, certificate } = settings;
  const { kit, clock, chance, log, dialer } = world;
  const style = { format: settings.format, framing: settings.framing, host: world.hostName };
  if (protocol === "udp") return new UdpOutput({ name, host, port, style, dialer, clock, log });
  const files = { ...(caFile === undefined ? {} : { caFile }), ...(certificate === undefined ? {} : { certificate }) };
  const target = { host, port, protocol, ...files };
  const spoolBytes = settings.spoolMib * MIB;
  return new SyslogOutput({ name, target, style, spoolBytes, stateFolder, dialer, disk: kit.disk, clock, chance, log });
}

/** By where it leads, never by its index: an output that moves in the file must find its spool again, and no other's. */
function stateNameOf({ type, path, host, port, protocol }: OutputSettings): string {
  const where = type === "syslog" ? `${protocol} ${host} ${port}` : `${type} ${resolve(path ?? "")}`;
  return `${type}-${createHash("sha256").update(where).digest("hex").slice(0, 16)}`;
}
