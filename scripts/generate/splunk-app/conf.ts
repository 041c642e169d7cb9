import { GENERATED } from "../generated.ts";

/** One stanza of a .conf file; settings in the order in which they are written. */
export interface ConfStanza {
  readonly name: string;
  /** Lines above it, without the comment sign. */
  readonly why?: string;
  readonly settings: readonly (readonly [key: string, value: string])[];
}

export function confFile(stanzas: readonly ConfStanza[]): string {
  const blocks = stanzas.map(({ name, why, settings }) => {
    const comment = (why ?? "").split("\n").map((line) => (line === "" ? "" : `# ${line}\n`));
    return `${comment.join("")}[${name}]\n${settings.map(([key, value]) => `${key} = ${value}\n`).join("")}`;
  });
  return `# ${GENERATED}\n\n${blocks.join("\n")}`;
}
