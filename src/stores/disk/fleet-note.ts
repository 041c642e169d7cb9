import { join } from "node:path";
import { Failure } from "../../model/failure.ts";
import { type DiskPorts, readIfThere, replaceFile } from "./disk.ts";

/** What a state folder knows of the fleet with which its streams were exchanged. */
export interface FleetNote {
  /** Names the folder for ever, also on another host. */
  readonly folder: string;
  readonly fleet: string;
  /** The fleet's database has the streams now, and those of the folder are old. */
  readonly isInFleet: boolean;
}

const FORM = /^([0-9a-f-]{36}) (in|out) ([a-z0-9-]{1,40})$/;

function pathOf(dir: string): string {
  return join(dir, "fleet-move");
}

/** Throws Failure `state-unreadable`, and `state-damaged` when the file is none of this program. */
export function readFleetNote({ disk }: Pick<DiskPorts, "disk">, dir: string): FleetNote | undefined {
  const path = pathOf(dir);
  const bytes = readIfThere(disk, path);
  if (bytes === undefined) return undefined;
  const [, folder, direction, fleet] = FORM.exec(bytes.toString("utf8").trim()) ?? [];
  if (folder !== undefined && fleet !== undefined) return { folder, fleet, isInFleet: direction === "in" };
  throw new Failure("state-damaged", {
    actor: "operator",
    retry: { when: "never" },
    say: `${path} is damaged, so it is not known whether the state folder or a fleet has the newest checkpoints.`,
    nextStep: "Run `defender-mssp doctor --fleet` to learn who has them. docs/fleet says how the file must look.",
  });
}

/** Survives a crash of the host. Throws Failure `state-unwritable`. */
export function writeFleetNote(ports: DiskPorts, dir: string, { folder, fleet, isInFleet }: FleetNote): Promise<void> {
  const text = `${folder} ${isInFleet ? "in" : "out"} ${fleet}\n`;
  return replaceFile(ports, pathOf(dir), Buffer.from(text, "utf8"));
}

/** For a collector that works alone with a folder whose streams a fleet has. */
export function inFleet(dir: string, fleet: string): Failure {
  return new Failure("fleet-moved", {
    actor: "operator",
    retry: { when: "never" },
    say: `The streams of the state folder ${dir} were moved into the fleet ${fleet}, which may have gone on since. Nothing is collected, so that nothing is collected twice.`,
    nextStep: "Stop the fleet's members, then run `defender-mssp fleet export-state` to move them back.",
  });
}
