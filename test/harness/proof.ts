import { appendFileSync } from "node:fs";

/** What one proof has counted. */
export interface Proof {
  /** Names the entry of docs/proofs.json. */
  readonly name: string;
  readonly seed: number | null;
  readonly counts: Readonly<Record<string, number>>;
}

/**
 * Call it at the end of a test that CI runs as a sample. Under `npm run proofs`, which runs the full counts,
 * it goes to docs/proofs.json; else nothing happens.
 */
export function noteProof(proof: Proof): void {
  const file = process.env["DEFENDER_MSSP_PROOFS"];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(proof)}\n`);
}
