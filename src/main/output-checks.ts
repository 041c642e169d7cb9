import { constants } from "node:fs";
import { access, lstat, readFile, stat, statfs } from "node:fs/promises";
import path from "node:path";
import type { ArcSightConfig } from "../hosts/arcsight/index.ts";
import { readArcSightConfig, realDialer, realSecretReader } from "../hosts/arcsight/index.ts";
import { Failure } from "../model/failure.ts";
import type { DoctorCheck } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import { outputUnwritable } from "../outputs/output-failures.ts";
import { groupIdOf } from "../outputs/reader-access.ts";
import { folderUnusable, realDisk } from "../stores/disk/disk.ts";
import { realClock, realFiles } from "./world.ts";

type Output = ArcSightConfig["outputs"][number];
type Place = Pick<Output, "name" | "type" | "path" | "group">;

/**
 * `doctor` for a connector's properties file: can the state folder be used, and can each output of this
 * customer accept events? It connects to receivers and disconnects without sending a byte; the receiver of
 * datagrams cannot be checked.
 */
export async function outputChecks(
  file: string,
  stateDir: string,
  environment: NodeJS.ProcessEnv,
): Promise<(stanza: Stanza) => readonly DoctorCheck[]> {
  const config = readArcSightConfig(await readFile(file), file, {
    nowMs: realClock.nowMs(),
    secrets: realSecretReader(environment, process.platform),
    files: realFiles,
  });
  const wrong = config.outputProblems.map(
    ({ stanza, key, say }): DoctorCheck => ({
      name: stanza,
      run: () =>
        Promise.reject(
          new Failure("settings", {
            actor: "operator",
            retry: { when: "never" },
            say: `${key} ${say}.`,
            nextStep: "Correct the output. docs/arcsight/outputs.md lists valid values.",
          }),
        ),
    }),
  );
  return (stanza) => [
    { name: "state folder", run: () => checkStateFolder(stateDir) },
    ...wrong,
    ...config.outputs
      .filter(({ tenants }) => tenants === undefined || tenants.includes(stanza.name))
      .map((output): DoctorCheck => ({ name: output.name, run: (signal) => checkOutput(output, signal) })),
  ];
}

async function checkOutput(output: Output, signal: AbortSignal): Promise<string> {
  const { host, port, protocol, caFile, certificate } = output;
  if (output.path !== undefined) return checkPlace(output);
  if (output.type === "hec")
    return "Not checked here: `defender-mssp arcsight check` sends one event to HEC and waits for its acknowledgement.";
  if (output.type === "kafka")
    return "Not checked here: `defender-mssp arcsight check` commits one event to Kafka and reads it back.";
  if (host === undefined) return "Nothing to check.";
  if (protocol === "udp")
    return `Datagrams to ${host}:${port} are not acknowledged; check at the receiver whether they arrive.`;
  const connection = await realDialer.connect(
    {
      host,
      port,
      protocol,
      ...(caFile === undefined ? {} : { caFile }),
      ...(certificate === undefined ? {} : { certificate }),
    },
    signal,
  );
  await connection.close(1_000);
  return `${host}:${port} accepts connections.`;
}

/**
 * What `run` would meet at this path, without writing.
 */
export async function checkPlace({ name, type, path: given = "", group }: Place): Promise<string> {
  const place = path.resolve(given);
  const isFile = type === "cef-file" || type === "json-lines";
  try {
    if (group !== undefined && process.platform !== "win32") groupIdOf(realDisk, group);
    if (isFile && (await isThere(place))) {
      const found = await stat(place);
      if (found.isDirectory()) throw withCode("EISDIR");
      if (!found.isFile()) throw withCode("EFTYPE");
      await access(place, constants.W_OK);
    } else if (isFile && (await isSymlink(place))) throw withCode("EDANGLING");
    await checkFolder(isFile ? path.dirname(place) : place);
  } catch (error) {
    throw outputUnwritable(name, given, error);
  }
  return `${given} can be written.`;
}

/**
 * What `run` would meet at its state folder, without creating it: `check` and `doctor` may be started by
 * another account. Throws Failure `state-unwritable`.
 */
export async function checkStateFolder(stateDir: string): Promise<string> {
  try {
    await checkFolder(path.resolve(stateDir));
  } catch (error) {
    throw folderUnusable(realDisk, stateDir, error);
  }
  return `${stateDir} can be written.`;
}

/** A folder that is not there yet is created when it is needed, so its nearest existing parent counts. */
async function checkFolder(place: string): Promise<void> {
  let folder = place;
  for (; !(await isThere(folder)) && path.dirname(folder) !== folder; folder = path.dirname(folder))
    if (await isSymlink(folder)) throw withCode("EEXIST");
  if (!(await stat(folder)).isDirectory()) throw withCode("ENOTDIR");
  if (process.platform === "linux" && (await statfs(folder)).type === PROC_FILE_SYSTEM) throw withCode("ENOENT");
  await access(folder, constants.W_OK | constants.X_OK);
}

/** It refuses new folders with ENOENT, even where its mode allows them. Source: Linux, uapi/linux/magic.h. */
const PROC_FILE_SYSTEM = 0x9fa0;

function withCode(code: string): Error {
  return Object.assign(new Error(code), { code });
}

function isSymlink(place: string): Promise<boolean> {
  return lstat(place).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}

function isThere(folder: string): Promise<boolean> {
  return stat(folder).then(
    () => true,
    () => false,
  );
}
