import { Failure } from "../../model/failure.ts";

/** Customers that one sentence names. */
const NAMED_MOST = 3;

export function packetsSetAside(count: number): Failure {
  return new Failure("fleet-set-aside", {
    actor: "operator",
    retry: { when: "later" },
    say: `${count} damaged packet${count === 1 ? "" : "s"} of events in the fleet's database could not be read and ${count === 1 ? "was" : "were"} not delivered. Everything else is delivered.`,
    nextStep: "Run `defender-mssp doctor --fleet`, which names the customers, and check the database's disk.",
  });
}

/** @param customers of which events wait. */
export function undeliverable(customers: readonly string[]): Failure {
  const named = customers.slice(0, NAMED_MOST).join(", ");
  const more = customers.length > NAMED_MOST ? ` and ${customers.length - NAMED_MOST} more` : "";
  return new Failure("fleet-undelivered", {
    actor: "us",
    retry: { when: "later" },
    say: `This program fails to deliver events of ${named}${more}. They wait in the fleet's database and are tried again each minute; other customers are not affected.`,
    nextStep: "Report the log's line that names the packet, and install the newest release.",
  });
}
