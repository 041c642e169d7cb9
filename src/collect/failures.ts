import { Failure } from "../model/failure.ts";

/** @param provider its name in the answer's warning. */
export function partialAnswer(provider: string): Failure {
  return new Failure("partial-answer", {
    actor: "microsoft",
    retry: { when: "later" },
    say: `Microsoft's answer lacks the data of one provider (206 with a warning: ${provider}). What arrived was delivered, and the next poll requests the same time range again.`,
  });
}

/** What a walk reports in health events although it continues. */
export const WALK_WARNINGS: Record<
  "link-repeats" | "link-elsewhere" | "link-refused" | "instant-overfull",
  (detail: string) => Failure
> = {
  "link-repeats": () =>
    new Failure("link-repeats", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: "Microsoft sent a next link that was followed already. Paging continues by time, and nothing is lost.",
    }),
  "link-elsewhere": (origin) =>
    new Failure("link-elsewhere", {
      actor: "operator",
      retry: { when: "soon" },
      say: `A next link pointed to ${origin}, which is not the configured address. It was not followed and no token was sent there. Paging continues by time.`,
      nextStep: "Check graph_url and api_url, and that no proxy rewrites Microsoft's answers.",
    }),
  "link-refused": (say) =>
    new Failure("link-refused", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: `A next link was refused (${say}). Paging continues by time.`,
    }),
  "instant-overfull": (part) =>
    new Failure("instant-overfull", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: `More records share one instant${part ? ` with ${part}` : ""} than paging can reach. They are requested in parts, split by other properties.`,
    }),
};

/** The sink is gone, or the state folder is damaged beyond repair: no customer can be collected. */
export function endsTheProcess(failure: Failure): boolean {
  return failure.code === "host-gone" || failure.code === "state-damaged" || failure.code === "state-unsettled";
}

export function stopped(): Failure {
  return new Failure("stopped", { actor: "us", retry: { when: "never" }, say: "The walk was stopped on request." });
}
