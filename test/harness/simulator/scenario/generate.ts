import { guid, type Identity } from "../identity.ts";
import { textOfTicks, ticksOfMs } from "../instant.ts";
import type { NewVersion } from "../records.ts";
import { type Random, seededRandom } from "../seeded-random.ts";
import type { StreamName } from "../streams.ts";
import { SHAPES } from "./shapes.ts";

/** Records made by rule; times are ms from the moment they are counted from. */
export interface GenerateRule {
  readonly stream: StreamName;
  readonly count: number;
  readonly from?: number;
  readonly to?: number;
  readonly bytes?: number;
  readonly evidence?: number;
  readonly alerts?: number;
  readonly updates?: number;
  readonly update_within?: number;
  readonly visible_after?: readonly [number, number];
  readonly late?: { readonly share: number; readonly by: readonly [number, number] };
  readonly ties?: { readonly groups: number; readonly size: number };
  readonly digits?: "varied" | "seven";
  readonly service?: readonly string[];
}

const WEEK_MS = 7 * 86_400_000;
const TWO_HOURS_MS = 2 * 3_600_000;

/**
 * Fraction digits as often as in Microsoft's public samples: of 349 times 259 have 7, 42 have 2, 16 have 3,
 * 13 none, …
 */
const DIGITS: readonly (readonly [digits: number, share: number])[] = [
  [7, 259],
  [2, 42],
  [3, 16],
  [0, 13],
  [6, 11],
  [1, 6],
  [5, 2],
];
const DIGITS_TOTAL = DIGITS.reduce((sum, [, share]) => sum + share, 0);

/**
 * All versions of the rule's records, each object's oldest first. Those that were already replaced at
 * `startMs` are left out: nobody can see them. Texts are made when they are asked for, and the same each
 * time.
 */
export function* generate(
  rule: GenerateRule,
  identity: Identity,
  baseMs: number,
  startMs: number,
  seed: string,
): Generator<NewVersion> {
  const random = seededRandom(seed, identity.name, rule.stream);
  const from = baseMs + (rule.from ?? -WEEK_MS);
  const to = baseMs + (rule.to ?? 0);
  const step = (to - from) / rule.count;
  const shape = SHAPES[rule.stream];
  const batch = shape.prepare({
    identity,
    ...(rule.bytes === undefined ? {} : { bytes: rule.bytes }),
    evidence: rule.evidence ?? 3,
    alerts: rule.alerts ?? 0,
    service: rule.service,
  });
  for (let index = 0; index < rule.count; index += 1) {
    const tie = tieOf(rule, index);
    const createdMs = from + step * (tie ?? index + random() * 0.9);
    const own = seededRandom(seed, identity.name, rule.stream, index);
    const created = instant(rule, createdMs, own);
    const id = shape.id(guid(seed, `${identity.name} ${rule.stream} ${index}`), index);
    const updates = tie === undefined ? poisson(rule.updates ?? 0, own) : 0;
    const times = Array.from({ length: updates }, () => createdMs + own() * (rule.update_within ?? TWO_HOURS_MS)).sort(
      (a, b) => a - b,
    );
    const versions: NewVersion[] = [];
    for (const [change, ms] of [createdMs, ...times].entries()) {
      const updated =
        tie === undefined
          ? change === 0
            ? created
            : instant(rule, ms, own)
          : textOfTicks(ticksOfMs(createdMs) + 7211n);
      const visibleMs =
        ms +
        between(rule.visible_after ?? [0, 0], own) +
        (rule.late !== undefined && own() < rule.late.share ? between(rule.late.by, own) : 0);
      versions.push({
        id,
        created,
        updated,
        ...(visibleMs > startMs ? { visibleAtMs: visibleMs } : {}),
        text: () =>
          batch({
            id,
            index,
            created,
            updated,
            change,
            random: seededRandom(seed, identity.name, rule.stream, index, "text"),
          }),
      });
    }
    const lastPast = versions.findLastIndex((version) => version.visibleAtMs === undefined);
    yield* versions.slice(Math.max(0, lastPast));
  }
}

/** The place in time that a record of a tie group shares with the others of its group. */
function tieOf(rule: GenerateRule, index: number): number | undefined {
  if (rule.ties === undefined) return undefined;
  const { groups, size } = rule.ties;
  const every = Math.max(size, Math.floor(rule.count / groups));
  const group = Math.floor(index / every);
  return group < groups && index % every < size ? group * every : undefined;
}

function instant(rule: GenerateRule, ms: number, random: Random): string {
  const ticks = ticksOfMs(ms) + BigInt(Math.floor(random() * 10_000));
  if (rule.digits === "seven") return textOfTicks(ticks);
  let at = random() * DIGITS_TOTAL;
  for (const [digits, share] of DIGITS) {
    if (at < share) return textOfTicks(ticks, digits);
    at -= share;
  }
  return textOfTicks(ticks);
}

const between = ([from, to]: readonly [number, number], random: Random): number => from + (to - from) * random();

/** A whole number with the given mean. */
function poisson(mean: number, random: Random): number {
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = random(); product > limit; product *= random()) count += 1;
  return count;
}
