/** Tests import this for their bound; `measure.ts` runs without Jest, so it cannot be in `world.ts`. */
import { jest } from "@jest/globals";

// Bounds for a machine that is busy: they only end what hangs.
jest.setTimeout(600_000);
