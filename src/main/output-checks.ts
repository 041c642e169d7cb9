import { constants } from "node:fs";
import { access, readFile, stat } from "node:fs/promises";
import path from "node:path";
import type { ArcSightConfig } from "../hosts/arcsight/index.ts";
import { readArcSightConfig, realDialer, realSecretReader } from "../hosts/arcsight/index.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { DoctorCheck } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import { realClock, realFiles } from "./world.ts";

type Output = ArcSightConfig["outputs"][number];

/**
 * `doctor` for a connector's properties file: can each output of this customer accept events? It connects to
 * receivers and disconnects without sending a byte; the receiver of datagrams cannot be checked.
 */
export async function outputChecks(
  file: string,
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
    ...wrong,
    ...config.outputs
      .filter(({ tenants }) => tenants === undefined || tenants.includes(stanza.name))
      .map((output): DoctorCheck => ({ name: output.name, run: (signal) => checkOutput(output, signal) })),
  ];
}

async function checkOutput(output: Output, signal: AbortSignal): Promise<string> {
  const { type, host, port, protocol, caFile, certificate, path: place } = output;
  if (place !== undefined) return checkPlace(type, place);
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
 * The folder of a file, or the folder itself. A missing folder is created when it is needed, so its nearest
 * existing parent is checked.
 */
async function checkPlace(type: string, place: string): Promise<string> {
  let folder = path.resolve(type === "cef-file" || type === "json-lines" ? path.dirname(place) : place);
  try {
    while (!(await isThere(folder)) && path.dirname(folder) !== folder) folder = path.dirname(folder);
    if (!(await stat(folder)).isDirectory()) throw notWritable(folder, "is not a folder");
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw isFailure(error) ? error : notWritable(folder, "may not be written to by this account");
  }
  return `${place} can be written.`;
}

function isThere(folder: string): Promise<boolean> {
  return stat(folder).then(
    () => true,
    () => false,
  );
}

function notWritable(folder: string, why: string): Failure {
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "never" },
    say: `The folder ${folder} ${why}.`,
    nextStep: "Correct `.path`, or give the helper's account write access to the folder.",
  });
}
