import { Failure } from "../model/failure.ts";

/** @param provider as the answer's warning names it. */
export function partialAnswer(provider: string): Failure {
  return new Failure("partial-answer", {
    actor: "microsoft",
    retry: { when: "later" },
    say: `Microsoft answered without one of its providers (206 with a warning: ${provider}); what came was delivered and the same stretch is asked for again at the next poll.`,
  });
}

/** What a walk met on its way that stopped nothing, as health events tell it. */
export const WALK_WARNINGS: Record<
  "link-repeats" | "link-elsewhere" | "link-refused" | "instant-overfull",
  (detail: string) => Failure
> = {
  "link-repeats": () =>
    new Failure("link-repeats", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: "Microsoft's list gave a next link that was followed already; paging goes on by time, nothing is lost.",
    }),
  "link-elsewhere": (origin) =>
    new Failure("link-elsewhere", {
      actor: "operator",
      retry: { when: "soon" },
      say: `A next link pointed to ${origin}, which is not the configured address; it was not followed and no token went there. Paging goes on by time.`,
      nextStep: "If a proxy rewrites answers, look at it; otherwise check graph_url or api_url.",
    }),
  "link-refused": (say) =>
    new Failure("link-refused", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: `A next link was refused (${say}); paging goes on by time.`,
    }),
  "instant-overfull": (part) =>
    new Failure("instant-overfull", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: `More records share one instant${part ? ` with ${part}` : ""} than paging can reach; the instant is split by other properties.`,
    }),
};

/** The sink is gone, or what the state folder says can no longer be mended: nobody can go on. */
export function concernsEverybody(failure: Failure): boolean {
  return failure.code === "host-gone" || failure.code === "state-damaged" || failure.code === "state-unsettled";
}

export function stopped(): Failure {
  return new Failure("stopped", { actor: "us", retry: { when: "never" }, say: "The walk was stopped on request." });
}
