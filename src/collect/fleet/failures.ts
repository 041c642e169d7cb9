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

/** @param commits of the stream that got no answer, one after another. */
export function unanswered(stream: string, commits: number, waitMs: number): Failure {
  return new Failure("fleet-unsettled", {
    actor: "us",
    retry: { when: "later" },
    say: `The fleet's database did not answer the last ${commits} commits of ${stream} of this customer. Each of them interrupts other customers too, so this one is not collected for ${Math.ceil(waitMs / 1_000)} s. Nothing is lost.`,
    nextStep:
      "Check the database's log, and whether the network between this host and the database drops large packets.",
  });
}

/** @param why of the store. */
export function missing(why: Failure): Failure {
  return new Failure("fleet-unconfirmed", {
    actor: why.actor === "us" ? "us" : "operator",
    retry: { when: "later" },
    say: `This member does not collect this customer, and cannot learn whether another member does. ${why.say}`,
    nextStep: why.nextStep || "Nothing has to be done. Collection resumes by itself.",
    cause: why,
  });
}

/**
 * @param times its place expired.
 * @param stalledMs the last time without processor time.
 * @param outMs it stays out of the fleet; 0: it does not.
 */
export function starved(times: number, stalledMs: number, outMs: number): Failure {
  const seconds = (ms: number) => Math.max(1, Math.round(ms / 1_000));
  return new Failure("fleet-starved", {
    actor: "operator",
    retry: { when: "later" },
    say: `This member had no processor time for ${seconds(stalledMs)} s, and its place in the fleet has expired ${times} times for that reason. ${
      outMs > 0
        ? `While others live, it stays out of the fleet for ${seconds(outMs)} s, and they collect its customers.`
        : "It goes on."
    }`,
    nextStep: "Give this host more processor time, stop what else runs there, or add a member.",
  });
}

export function outputHangs(): Failure {
  return new Failure("fleet-output-hangs", {
    actor: "operator",
    retry: { when: "later" },
    say: "An output of this member has hung since customers were given up, so this member takes no customers until that ends.",
    nextStep: "Check the output, for example its network disk, or stop this member, so that others take its part.",
  });
}

/** @param shares does this member collect all the same? */
export function configurationDiffers(members: readonly string[], shares: boolean): Failure {
  const names = [...members].sort().join(", ");
  return new Failure("fleet-configuration-differs", {
    actor: "operator",
    retry: { when: "later" },
    say: `The configuration of this member differs from that of ${names}. ${
      shares
        ? "This member goes on with its own."
        : "This member collects nothing while a member with the applied configuration lives."
    }`,
    nextStep:
      "Use one configuration on every member. If this member's is the right one, run `defender-mssp fleet apply` here.",
  });
}

export function keyDiffers(): Failure {
  return new Failure("fleet-key-differs", {
    actor: "operator",
    retry: { when: "later" },
    say: "fleet.key_file of this member is missing, or has another key than the fleet. This member takes no customers, so the others collect all of them.",
    nextStep: "Copy the key file of another member to this host, and restart this member.",
  });
}

export function clockDiffers(aheadMs: number): Failure {
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  return new Failure("fleet-clock-differs", {
    actor: "operator",
    retry: { when: "later" },
    say: `The clock of this member's host is ${seconds} s ${aheadMs > 0 ? "ahead of" : "behind"} the clock of the fleet's database. Collection goes on.`,
    nextStep: "Synchronize the clocks of both hosts, for example with chrony.",
  });
}
